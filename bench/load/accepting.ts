/**
 * A node:http server in one process, or in two that share a port in one of several ways:
 * `accepting.ts PORT one | cluster-round-robin | cluster-shared | reuse-port | shared | banyan`.
 */
import { fork } from 'node:child_process'
import cluster from 'node:cluster'
import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Acceptor, type ListeningHandle } from '../../src/processes/acceptor.ts'
import { Balance } from '../../src/processes/balance.ts'
import { ListeningSocket } from '../../src/processes/listening-socket.ts'
import { Shares } from '../../src/processes/shares.ts'
import type { WorkerProcess } from '../../src/processes/worker-process.ts'

const WORKERS = 2
const BACKLOG = 4096
const HOST = '127.0.0.1'
const SHARES_FD = 4

const [text, way] = process.argv.slice(2)
const port = Number(text)
const server = createServer((_req, res) => {
  res.setHeader('content-type', 'application/json')
  res.end('{"status":"ok"}')
})

if (way === 'one') server.listen(port, HOST, BACKLOG)
else if (way === 'cluster-round-robin' || way === 'cluster-shared') {
  cluster.schedulingPolicy = way === 'cluster-shared' ? cluster.SCHED_NONE : cluster.SCHED_RR
  if (cluster.isPrimary) for (let n = 0; n < WORKERS; n++) cluster.fork()
  else server.listen(port, HOST, BACKLOG)
} else if (process.send === undefined) await bePrimary()
else if (way === 'reuse-port') server.listen({ port, host: HOST, backlog: BACKLOG, reusePort: true })
else beWorker()

async function bePrimary(): Promise<void> {
  const shares = Shares.create(WORKERS)
  const balance = new Balance(shares)
  const children = Array.from({ length: WORKERS }, () => {
    const record = shares.take()
    const args = [text as string, way as string, String(record)]
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc', shares.fd] as const
    return { record, child: fork(fileURLToPath(import.meta.url), args, { stdio: [...stdio] }) }
  })
  if (way === 'shared') {
    const { handle } = await ListeningSocket.open({ host: HOST, port })
    for (const { child } of children) child.send('listen', handle as unknown as Socket)
  }
  if (way !== 'banyan') return
  for (const { record, child } of children) {
    const worker = {
      record,
      word: 'up',
      askedAtMs: null,
      link: { look: async () => {} },
      listen: (handle: ListeningHandle) => child.send('listen', handle as unknown as Socket),
    }
    child.on('message', () => balance.arrange())
    balance.add(worker as unknown as WorkerProcess)
  }
  const listening = balance.listen([{ host: HOST, port }])
  balance.onListening(null)
  await listening
}

function beWorker(): void {
  process.on('disconnect', () => process.exit())
  if (way === 'shared') {
    process.on('message', (_message, handle) => server.listen(handle))
    return
  }
  let connections = 0
  const acceptor = new Acceptor({
    shares: new Shares(SHARES_FD, WORKERS),
    record: Number(process.argv[4]),
    backlog: BACKLOG,
    places: [{ host: HOST, port: 0 }],
    server: {
      get connections() {
        return connections
      },
      take(socket: Socket) {
        connections++
        socket.once('close', () => {
          connections--
          acceptor.closed()
        })
        server.emit('connection', socket)
      },
    },
    hasDescriptors: () => true,
    onDue: () => process.send?.('due'),
    onFault: (error) => {
      throw error
    },
  })
  process.on('message', (_message, handle) => void acceptor.listen(handle as ListeningHandle, 0))
}
