-- What wrk sends (arguments after `--`: METHOD, BODY_BYTES, keep or close) and the one JSON line it prints at the end.
function init(args)
  wrk.method = args[1] or 'GET'
  if args[3] == 'close' then wrk.headers['Connection'] = 'close' end
  local bytes = tonumber(args[2] or '0')
  if bytes > 0 then
    wrk.headers['Content-Type'] = 'application/octet-stream'
    wrk.body = string.rep('x', bytes)
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"micros":%d,"bytes":%d,"p50":%d,"p99":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
