-- Asks a cache in one of several ways; prints the line of wrk.lua at the end. Arguments after `--`: MODE PATH COUNT.
-- Where paths differ, a number follows PATH.
--   same       always the same path
--   unchanged  the same, with a condition that holds: answered 304
--   each       COUNT paths in turn
--   new        a path never asked for before
--   zipf       COUNT paths, the n-th as often as 1/n of the first
local mode, path, count
local at = 0
local fixed

function init(args)
  mode, path, count = args[1], args[2], tonumber(args[3])
  math.randomseed(os.time())
  at = mode == 'new' and os.time() * 1000000 or math.random(count)
  if mode == 'unchanged' then wrk.headers['If-None-Match'] = '*' end
  fixed = wrk.format('GET', path)
end

function request()
  if mode == 'same' or mode == 'unchanged' then return fixed end
  if mode == 'zipf' then at = math.floor(count ^ math.random()) else at = at + 1 end
  local n = mode == 'each' and at % count or at
  return wrk.format('GET', path .. string.format('%d', n))
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"micros":%d,"bytes":%d,"p50":%d,"p99":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
