/**
 * The least that a node:http server can do: the same answer to every request. What the GTIN lookup is measured against.
 *
 * `node constant.ts PORT BYTES`
 */
import { createServer } from 'node:http'

const [port, bytes] = process.argv.slice(2).map(Number)
const body = 'x'.repeat(bytes ?? 0)
const head = ['Content-Type', 'application/json; charset=utf-8', 'Content-Length', String(body.length)]

const server = createServer((_, res) => {
  res.writeHead(200, head)
  res.end(body)
})
server.keepAliveTimeout = 3_600_000
server.listen(port, '127.0.0.1')
