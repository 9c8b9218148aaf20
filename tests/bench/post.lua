-- What wrk sends: a POST of the file that BENCH_BODY names, with the key of BENCH_KEY; what it found, as one line of JSON.

local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY")
-- One "name: value" a line, for gateways that are told by their clients what to do.
for name, value in (os.getenv("BENCH_HEADERS") or ""):gmatch("([^:\n]+): ([^\n]+)") do
  wrk.headers[name] = value
end

function done(summary)
  local errors = summary.errors
  io.write(string.format(
    'JSON {"answered": %d, "seconds": %f, "refused": %d, "broken": %d, "unanswered": %d, "other_statuses": {%s}}\n',
    summary.requests - errors.status, summary.duration / 1e6, errors.connect, errors.read + errors.write, errors.timeout,
    errors.status > 0 and string.format('"not 2xx": %d', errors.status) or ""))
end
