-- Requests the paths of a file, one line each, in turn; prints the line of wrk.lua at the end. A status that is not the
-- one expected is counted. Arguments after `--`: FILE, STATUS.
local targets = {}
local at = 0
local expected = 200
local threads = {}
unexpected = 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  for line in io.lines(args[1]) do targets[#targets + 1] = wrk.format('GET', line) end
  expected = tonumber(args[2])
  at = math.random(#targets)
end

function request()
  at = at % #targets + 1
  return targets[at]
end

function response(status)
  if status ~= expected then unexpected = unexpected + 1 end
end

function done(summary, latency)
  local e = summary.errors
  local wrong = 0
  for _, thread in ipairs(threads) do wrong = wrong + thread:get('unexpected') end
  io.write(string.format(
    '\n{"requests":%d,"micros":%d,"bytes":%d,"p50":%d,"p99":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, wrong, e.timeout))
end
