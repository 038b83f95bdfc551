/**
 * HTTP/2 as a real browser speaks it: a page with what it loads, an EventSource, and a WebSocket on one connection.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocketServer } from 'ws'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { launchBrowser } from '../../support/browser.ts'

const tlsFile = (name: string): string => fileURLToPath(new URL(`../../support/tls/${name}`, import.meta.url))
const TLS = ['--tls', '127.0.0.1:0', '--tls-cert', tlsFile('server.pem'), '--tls-key', tlsFile('server-key.pem')]

const PAGE = `<!doctype html><title>page</title><link rel="icon" href="data:,">
<script type="module">
const results = {}
const events = new EventSource('/events')
results.events = await new Promise((resolve) => {
  const seen = []
  events.onmessage = ({ data }) => {
    seen.push(data)
    if (seen.length === 3) resolve(seen)
    // The next one comes only now.
    else fetch('/next', { method: 'POST', body: data })
  }
})
events.close()
const bytes = await Promise.all([1, 2, 3].map(async (n) => (await (await fetch('/large?' + n)).arrayBuffer()).byteLength))
results.bytes = bytes
results.upload = await (await fetch('/upload', { method: 'PUT', body: new Uint8Array(1_000_000) })).text()
const socket = new WebSocket('wss://' + location.host + '/chat')
results.chat = await new Promise((resolve, reject) => {
  socket.onopen = () => socket.send('hello')
  socket.onmessage = ({ data }) => socket.close(1000, data)
  socket.onclose = ({ code, reason }) => resolve([code, reason])
})
results.protocols = [...new Set(performance.getEntries().map((one) => one.nextHopProtocol).filter(Boolean))]
window.results = results
</script>`

/** What the page's server does. @param heads raw fields of what is asked for, by path */
async function pageServer(heads: Map<string, readonly string[]>): Promise<number> {
  let events: ServerResponse | null = null
  let sent = 0
  const send = (): void => void events?.write(`data: ${++sent}\n\n`)
  const server = createServer((req, res) => {
    const path = (req.url as string).replace(/\?.*/, '')
    heads.set(path, req.rawHeaders)
    let length = 0
    req.on('data', (piece: Buffer) => {
      length += piece.length
    })
    req.on('end', () => {
      switch (path) {
        case '/events':
          res.writeHead(200, { 'Content-Type': 'text/event-stream' })
          events = res
          send()
          break
        case '/next':
          res.writeHead(204).end()
          send()
          break
        case '/large':
          res.end(Buffer.alloc(2_000_000))
          break
        case '/upload':
          res.end(String(length))
          break
        default:
          res.setHeader('Content-Type', 'text/html').end(PAGE)
      }
    })
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket, req) => {
    heads.set('/chat', req.rawHeaders)
    socket.on('message', (data) => socket.send(`re: ${data}`))
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  onTestFinished(() => {
    sockets.close()
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

test('Chromium: page, EventSource, downloads, an upload and a WebSocket over HTTP/2', async () => {
  const heads = new Map<string, readonly string[]>()
  const banyan = await startBanyan({ table: tableFor(await pageServer(heads)), args: TLS })
  onTestFinished(async () => void (await banyan.stop()))
  const browser = await launchBrowser()
  onTestFinished(() => browser.close())
  const page = await browser.newPage({ ignoreHTTPSErrors: true })
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  await page.goto(`https://127.0.0.1:${banyan.tlsPort}/`)
  const results = await page.waitForFunction('window.results', undefined, { timeout: 120_000 })
  expect(await results.jsonValue()).toEqual({
    events: ['1', '2', '3'],
    bytes: [2_000_000, 2_000_000, 2_000_000],
    upload: '1000000',
    chat: [1000, 're: hello'],
    protocols: ['h2'],
  })
  expect(faults).toEqual([])
  // On the connection of the page (RFC 8441): over HTTP/1.1 names of fields would not be in lower case.
  expect(heads.get('/chat')).toEqual(expect.arrayContaining(['sec-websocket-version', '13']))
})
