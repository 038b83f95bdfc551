/**
 * A server that tests start, kill and start again: answers each request with its name, in a process of its own.
 * `node test/support/plain-server.ts PORT NAME`
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const [port = '0', name = 'plain'] = process.argv.slice(2)
const server = createServer((req, res) => {
  req.resume()
  req.on('end', () => {
    res.setHeader('Content-Length', name.length)
    res.end(name)
  })
})
server.listen(Number(port), '127.0.0.1', () => {
  process.stdout.write(`plain ready ${(server.address() as AddressInfo).port}\n`)
})
