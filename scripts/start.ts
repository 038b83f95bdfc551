/**
 * `npm start`: the legacy catalog, a sync of a sample of its products, two GTIN service instances on that copy, and the proxy in
 * front of them, until Ctrl-C. `npm start -- --port N` serves on N, with the admin API on N + 1 (0: any free ports);
 * `npm start -- --all` copies all 18 million products, in some minutes; `npm start -- --fault` gives the new service a wrong
 * price, for `banyan shadow` to find.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const DEFAULT_PORT = 8080

/** One process of the demo. */
interface Part {
  readonly name: string
  /** What the line begins with that it prints when it is ready. */
  readonly ready: string
  readonly args: readonly string[]
}

const HELP = `npm start -- [flags]: the demo, a legacy catalog and its new GTIN service behind the proxy

  --port N   serve on port N, with the admin API on N + 1 (${DEFAULT_PORT}); 0: any free ports
  --all      copy all 18 million products, which takes some minutes, instead of a sample
  --fault    give the new service a wrong price, for banyan shadow to find
  --help     this text

Ctrl-C ends all processes and removes what they wrote.
`

const { all, fault, port } = readFlags()
/** Every how many-th product is copied, the one of the lookups among them. */
const SAMPLE = all ? 1 : 900
/** The table and the data, as long as the demo runs; git ignores it. */
const FOLDER = join(ROOT, '.banyan', port === DEFAULT_PORT ? 'demo' : `demo-${port || process.pid}`)
const DATA = join(FOLDER, 'gtin')
const TABLE = join(FOLDER, 'routes.yaml')

const running: ChildProcess[] = []
let ending = false

function readFlags(): { all: boolean; fault: boolean; port: number } {
  try {
    const { values } = parseArgs({
      options: {
        ...{ all: { type: 'boolean' }, fault: { type: 'boolean' }, port: { type: 'string' } },
        help: { type: 'boolean', short: 'h' },
      },
    })
    if (values.help === true) {
      process.stdout.write(HELP)
      process.exit(0)
    }
    const port = Number(values.port ?? DEFAULT_PORT)
    if (Number.isInteger(port) && port >= 0 && port < 65_535) {
      return { all: values.all === true, fault: values.fault === true, port }
    }
    return usage(`--port ${values.port}: expected a port`)
  } catch (error) {
    return usage((error as Error).message.split('. ')[0] as string)
  }
}

function usage(problem: string): never {
  process.stderr.write(`${problem}; usage: npm start -- [--port N] [--all] [--fault]\n`)
  process.exit(2)
}

/** Exits with one line where another program has a port. */
async function expectFree(ports: readonly number[]): Promise<void> {
  for (const one of ports) {
    const server = createServer().listen(one, '127.0.0.1')
    try {
      await once(server, 'listening')
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      const why = code === 'EADDRINUSE' ? 'is in use' : `can't be used: ${message}`
      process.stderr.write(`port ${one} ${why}: npm start -- --port N takes N and N + 1\n`)
      process.exit(1)
    }
    server.close()
    await once(server, 'close')
  }
}

function gtinPart(name: string): Part {
  const args = ['gtin-service/main.ts', '--listen', '127.0.0.1:0', '--name', name, '--data', DATA]
  return { name, ready: 'gtin-service ready', args }
}

const LEGACY: Part = {
  name: 'legacy',
  ready: 'legacy-mock ready',
  args: ['legacy-mock/main.ts', '--listen', '127.0.0.1:0'],
}

const PROXY: Part = {
  name: 'banyan',
  ready: 'banyan ready',
  args: [
    ...['bin/banyan.js', 'serve', '--table', TABLE, '--expose-cache-status', '--workers', '0'],
    ...['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${port === 0 ? 0 : port + 1}`],
  ],
}

/** Copies the products once, and shows how far it is. Rejects where it fails. */
async function sync(legacy: string): Promise<void> {
  const from = `${legacy}/?sample=${SAMPLE}${fault ? '&wrong-prices=iSWEATR' : ''}`
  const args = ['gtin-service/main.ts', 'sync', '--from', from, '--data', DATA, '--no-gzip']
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  running.push(child)
  const what = all ? 'all products' : `every ${SAMPLE}th product`
  process.stderr.write(`sync: copying ${what} of the legacy into the data of the GTIN service\n`)
  for (const stream of [child.stdout, child.stderr]) eachLine(stream, (line) => process.stderr.write(`${line}\n`))
  const [code] = await once(child, 'close')
  running.splice(running.indexOf(child), 1)
  if (code === 0 || ending) return
  void end(1)
  throw new Error('sync')
}

/** Starts one part and resolves with its ready line. What it prints afterwards goes on under its name. */
function start(part: Part): Promise<string> {
  // A group of its own: Ctrl-C reaches this process alone, which then ends the parts in order.
  const child = spawn(process.execPath, [...part.args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  running.push(child)
  return new Promise((resolve, reject) => {
    const said: string[] = []
    eachLine(child.stderr, (line) => {
      said.push(line)
      process.stderr.write(`${part.name}: ${line}\n`)
    })
    eachLine(child.stdout, (line) => {
      if (line.startsWith(part.ready)) resolve(line)
      else process.stdout.write(`${part === PROXY ? logLine(line) : `${part.name}: ${line}`}\n`)
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

/** A line of the proxy's log for a person: of a request which side answered, and why. */
function logLine(text: string): string {
  const line = JSON.parse(text)
  if (line.event !== undefined) return `banyan: ${line.msg}`
  const { id, method, target, status, upstream, server, reason, bucket, percent, cache, durationMs } = line
  if (upstream === undefined) return `${method} ${target}: ${status}, id ${id}`
  const from = cache === 'hit' ? `the cache of ${upstream}` : `${upstream} (${server ?? 'no server'})`
  const drawn =
    bucket === null ? reason : `${reason}: ${bucket.toFixed(2)} ${bucket < percent ? '<' : '>='} ${percent} %`
  return `${method} ${target}: ${status} from ${from}, ${drawn}, cache ${cache}, ${durationMs.toFixed(1)} ms, id ${id}`
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

/** The address in a ready line. */
function urlIn(line: string): string {
  return /http:\/\/\S+/.exec(line)?.[0] as string
}

/** What the two sides differ in by design: which machine answered and when, the session of the legacy, who may store it. */
const SHADOW = `    shadow: # a copy of each lookup goes to the other side: banyan shadow show gtin-lookup
      percent: 100
      samples: values
      compare: { ignore: [/host, /generatedAt, cookie:JSESSIONID, header:cache-control] }
`

/** A copy of the table of the project, with the servers that have been started, and both sides compared. */
function writeTable(legacy: string, gtins: readonly string[]): void {
  const text = readFileSync(join(ROOT, 'routes.yaml'), 'utf8')
    // Which port the admin API gets is not known yet where any may do.
    .replace(/^# yaml-language-server: .*\n/m, (line) => (port === 0 ? '' : line.replace('8081', String(port + 1))))
    .replace('http://127.0.0.1:4001', legacy)
    .replace('http://127.0.0.1:4002', gtins[0] as string)
    .replace('http://127.0.0.1:4003', gtins[1] as string)
  writeFileSync(TABLE, `${text.trimEnd()}\n${SHADOW}`)
}

/** What to do next. */
function welcome(ready: string): string {
  const [proxy, admin] = [...ready.matchAll(/http:\/\/(\S+)/g)].map(([, address]) => address)
  const url = `http://${proxy}/stores/3/gtins/123456789012`
  const steps = fault
    ? `  alice() { curl -s -H 'x-client-id: alice' -b ${DATA}/jar -c ${DATA}/jar -o /dev/null ${url}; }
  for i in $(seq 40); do alice; done              # alice is on the legacy, and gets the right price
  banyan shadow show gtin-lookup                  # the new service has another one`
    : `  lookup() { curl -si -b sid=alice ${url} | grep -oiE '^cache-status.*|"host": ?"[^"]+"'; }
  lookup                                          # alice is on the legacy: catalog01
  banyan set gtin-lookup 50 --reason "no errors"  # from 5 % to 50 % of the clients
  lookup; lookup                                  # alice has moved to the new service: gtin-1 or gtin-2; then a hit of the cache
  banyan explain ${url} -H 'cookie: sid=alice'
  banyan routes && banyan revisions               # and banyan restore 1 takes the edit back
  banyan shadow show gtin-lookup                  # both sides compared; npm start -- --fault has a wrong price to find`
  return `banyan is ready on http://${proxy}, in front of a legacy catalog and its new GTIN service; its page is http://${admin}/. In another terminal, in this folder:
  banyan() { node bin/banyan.js "$@"; }; export BANYAN_ADMIN=${admin}
${steps}
The table is ${relative(ROOT, TABLE)}: edit it as well; this copy is removed at the end. Each request is logged below; banyan explain --id ID says why. Ctrl-C ends everything.
`
}

/** Ends the proxy first, so that no request of its clients meets a server that is gone. */
async function end(code: number): Promise<void> {
  if (ending) return
  ending = true
  const proxy = running.find(({ spawnargs }) => spawnargs.includes('bin/banyan.js'))
  if (proxy !== undefined) await stop(proxy)
  await Promise.all(running.map(stop))
  rmSync(FOLDER, { recursive: true, force: true })
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

await expectFree(port === 0 ? [] : [port, port + 1])
rmSync(FOLDER, { recursive: true, force: true })
mkdirSync(FOLDER, { recursive: true })
try {
  const legacy = urlIn(await start(LEGACY))
  await sync(legacy)
  writeTable(legacy, (await Promise.all(['gtin-1', 'gtin-2'].map((name) => start(gtinPart(name))))).map(urlIn))
  process.stdout.write(welcome(await start(PROXY)))
} catch (error) {
  // A part that failed has said why, in one line, and end() is on its way.
  if (!ending) process.stderr.write(`${(error as Error).message}\n`)
  void end(1)
}
