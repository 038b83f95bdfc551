/**
 * No cache, but the least that a hit in Node can cost: `fixed-answer.ts PORT UPSTREAM-PORT PATH` asks the upstream once, and answers
 * each read of a connection with what it said, without reading it.
 */
import { connect, createServer } from 'node:net'

const [port, upstreamPort, path] = process.argv.slice(2)
const answer = await new Promise<string>((resolve, reject) => {
  const socket = connect(Number(upstreamPort), '127.0.0.1', () => {
    socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)
  })
  socket.once('data', (bytes) => {
    socket.destroy()
    resolve(bytes.toString('latin1'))
  })
  socket.once('error', reject)
})
createServer({ noDelay: true }, (client) => {
  client.on('data', () => client.write(answer, 'latin1'))
  client.on('error', () => client.destroy())
}).listen(Number(port), '127.0.0.1')
