/**
 * `npm start`: the legacy catalog, a sync of a sample of its products, two GTIN service instances on that copy, and the proxy in
 * front of them, until Ctrl-C. `npm start -- --all` copies all 18 million products, in some minutes.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** One process of the demo. */
interface Part {
  readonly name: string
  /** What the line begins with that it prints when it is ready. */
  readonly ready: string
  readonly args: readonly string[]
}

const { all } = parseArgs({ options: { all: { type: 'boolean' } } }).values
/** Every how many-th product is copied, the one of the first command among them. */
const SAMPLE = all ? 1 : 900
/** The data of the GTIN services, as long as the demo runs. */
const DATA = mkdtempSync(join(tmpdir(), 'banyan-demo-gtin-'))

const PARTS: readonly Part[] = [
  { name: 'legacy', ready: 'legacy-mock ready', args: ['legacy-mock/main.ts', '--listen', '127.0.0.1:4001'] },
  { name: 'gtin-1', ready: 'gtin-service ready', args: gtinArgs('gtin-1', 4002) },
  { name: 'gtin-2', ready: 'gtin-service ready', args: gtinArgs('gtin-2', 4003) },
  {
    name: 'banyan',
    ready: 'banyan ready',
    args: [
      'src/main.ts',
      'serve',
      '--listen',
      '127.0.0.1:8080',
      '--admin',
      '127.0.0.1:8081',
      '--access-log',
      'none',
      '--workers',
      '0',
    ],
  },
]

const WELCOME = `
  clients   http://127.0.0.1:8080   the proxy, in front of everything
  admin     http://127.0.0.1:8081   the admin API
  legacy    http://127.0.0.1:4001   the wrapped catalog application
  gtin      http://127.0.0.1:4002, http://127.0.0.1:4003   the new GTIN service, two instances
            on a copy of ${all ? 'all products' : '20,000 of the 18 million products (npm start -- --all copies all of them)'}

Five commands to try (in another terminal, in this folder):

  1. A lookup through the proxy:
     curl -s http://127.0.0.1:8080/stores/3/gtins/123456789012
  2. A page of the legacy application, through the same door:
     curl -s http://127.0.0.1:8080/
  3. Move the lookup to the new service by editing the table (it applies within a second):
     sed -i 's/percent: [0-9.]*/percent: 50/' routes.yaml
  4. The same by the API; the file is edited for you, comments and all:
     curl -s -X PATCH http://127.0.0.1:8081/routes/gtin-lookup -H 'content-type: application/json' -d '{"percent": 100}'
  5. Which side answers this client, and why:
     curl -s http://127.0.0.1:8081/explain -H 'content-type: application/json' \\
       -d '{"method":"GET","url":"http://127.0.0.1:8080/stores/3/gtins/123456789012","headers":{"cookie":"sid=alice"}}'

Ctrl-C ends everything.
`

const running: ChildProcess[] = []
let ending = false

function gtinArgs(name: string, port: number): string[] {
  return ['gtin-service/main.ts', '--listen', `127.0.0.1:${port}`, '--name', name, '--data', DATA]
}

/** Copies the products once; its progress goes to the terminal. Rejects where it fails. */
async function sync(): Promise<void> {
  const from = `http://127.0.0.1:4001/?sample=${SAMPLE}`
  const args = ['gtin-service/main.ts', 'sync', '--from', from, '--data', DATA, '--no-gzip']
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'], detached: true })
  running.push(child)
  const [code] = await once(child, 'exit')
  running.splice(running.indexOf(child), 1)
  if (code === 0 || ending) return
  void end(1)
  throw new Error('sync')
}

/** Starts one part and resolves when it is ready. What it prints afterwards goes on under its name. */
function start(part: Part): Promise<void> {
  // A group of its own: Ctrl-C reaches this process alone, which then ends the parts in order.
  const child = spawn(process.execPath, [...part.args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  running.push(child)
  return new Promise((resolve, reject) => {
    const said: string[] = []
    eachLine(child.stderr!, (line) => {
      said.push(line)
      process.stderr.write(`${part.name}: ${line}\n`)
    })
    eachLine(child.stdout!, (line) => {
      if (line.startsWith(part.ready)) resolve()
      else process.stdout.write(`${part.name}: ${line}\n`)
    })
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      if (ending) return
      if (said.length === 0) process.stderr.write(`${part.name} ended by itself (${signal ?? `exit ${code}`})\n`)
      reject(new Error(part.name))
      void end(1)
    })
  })
}

function eachLine(stream: NodeJS.ReadableStream, take: (line: string) => void): void {
  let held = ''
  stream.setEncoding('utf8')
  stream.on('data', (text: string) => {
    const lines = (held + text).split('\n')
    held = lines.pop() ?? ''
    for (const line of lines) take(line)
  })
}

/** Ends the proxy first, so that no request of its clients meets a server that is gone. */
async function end(code: number): Promise<void> {
  if (ending) return
  ending = true
  const proxy = running[PARTS.length - 1]
  if (proxy !== undefined) await stop(proxy)
  await Promise.all(running.map(stop))
  rmSync(DATA, { recursive: true, force: true })
  process.exit(code)
}

function stop(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
      resolve()
      return
    }
    child.once('exit', () => resolve())
    child.kill('SIGTERM')
  })
}

// Whoever started us may be killed without a word to us: nothing may be left running then either.
const parent = process.ppid
setInterval(() => {
  if (process.ppid !== parent) void end(0)
}, 1000).unref()

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end(0))

try {
  const [legacy, ...others] = PARTS as [Part, ...Part[]]
  await start(legacy)
  await sync()
  await Promise.all(others.slice(0, -1).map(start))
  await start(others.at(-1) as Part)
  process.stdout.write(WELCOME)
} catch {
  // The part has said what is wrong, in one line; end() is on its way.
}
