-- wrk: sends requests that were signed in advance, each once. One thread; the file's path is the first argument.
local lines, body, digest, authority, target

function init(args)
  local file = args[1]
  local function whole(path)
    local handle = assert(io.open(path, "rb"))
    local text = handle:read("*a")
    handle:close()
    return text
  end
  body = whole(file .. ".body")
  digest = whole(file .. ".digest")
  authority = whole(file .. ".authority")
  target = whole(file .. ".path")
  lines = io.lines(file)
end

function request()
  local line = lines and lines()
  if line == nil then
    lines = nil
    -- Every prepared request is used up: whatever follows is refused, and shows as an error.
    return wrk.format("POST", target, { ["Content-Type"] = "application/json" }, body)
  end
  local tab = string.find(line, "\t", 1, true)
  return wrk.format("POST", target, {
    ["Content-Type"] = "application/json",
    ["Host"] = authority,
    ["Content-Digest"] = digest,
    ["Signature-Input"] = string.sub(line, 1, tab - 1),
    ["Signature"] = string.sub(line, tab + 1),
  }, body)
end

function done(summary, latency)
  local seconds = summary.duration / 1000000
  io.write(string.format(
    "requests %d in %.2f s = %.0f/s; p50 %.2f ms, p90 %.2f ms, p99 %.2f ms, max %.2f ms; non-2xx/3xx %d, socket errors %d\n",
    summary.requests, seconds, summary.requests / seconds,
    latency:percentile(50) / 1000, latency:percentile(90) / 1000, latency:percentile(99) / 1000, latency.max / 1000,
    summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
