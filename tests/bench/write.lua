-- wrk: writes secrets, each at a path of its own. One thread; arguments: the file of the API key, and the number that the first
-- path has.
local key, number

function init(args)
  local handle = assert(io.open(args[1], "rb"))
  key = handle:read("*a")
  handle:close()
  -- wrk asks for one request at the start and does not send it.
  number = tonumber(args[2]) - 1
end

function request()
  local path = string.format("/api/v1/vault/secrets/bulk/%07d", number)
  local body = string.format('{"kind":"api_key","fields":{"value":"sk_test_%032d"}}', number)
  number = number + 1
  return wrk.format("PUT", path, { ["Content-Type"] = "application/json", ["X-API-Key"] = key }, body)
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
