-- wrk: sends requests that were signed in advance, each once. One thread; the file's path is the first argument.
-- The requests stand in the file as they go over the wire, all of one length, so that the generator leaves the machine to the server.
local requests, size

function init(args)
  local handle = assert(io.open(args[1] .. ".size", "rb"))
  size = tonumber(handle:read("*a"))
  handle:close()
  requests = assert(io.open(args[1], "rb"))
  requests:setvbuf("full", 1048576)
end

function request()
  -- Once every prepared request is used up, what follows is refused, and shows as an error.
  return requests:read(size) or wrk.format("POST", "/every-prepared-request-is-used-up")
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
