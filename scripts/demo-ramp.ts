/**
 * Shows ramps on a terminal: bad versions are planted behind a running proxy and taken back by their guard, a good one goes to all by
 * itself. No person is involved. `--keys N` lets the requests come from N clients instead of each from its own; `--json` prints
 * the result as JSON. Exits with 1 if a version was not judged as it should be, or too late.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { Agent, createServer, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { keys: { type: 'string' }, json: { type: 'boolean' } } })
const KEYS = values.keys === undefined ? null : Number(values.keys)
const PER_SECOND = 100

/** How a version answers a lookup. */
interface Version {
  readonly name: string
  /** Within so many seconds it is to be taken back; null for one that is to stay. */
  readonly withinS: number | null
  answer(gtin: number, response: ServerResponse): void
}

const send = (response: ServerResponse, gtin: number, price: number, status = 200): void => {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'max-age=60' })
  response.end(JSON.stringify({ gtin, supplier: gtin % 10, price }))
}
const priceOf = (gtin: number): number => 100 + (gtin % 900)
/** Long enough that a busy machine does not blur what is slow. */
const usualMs = (): number => 60 + Math.random() * 90
const later = (ms: number, work: () => void): void => void setTimeout(work, ms)

const GOOD: Version = {
  name: 'as good as the legacy',
  withinS: null,
  answer: (gtin, response) => later(usualMs(), () => send(response, gtin, priceOf(gtin))),
}
const BAD: readonly Version[] = [
  {
    name: 'fails one request in ten',
    withinS: 10,
    answer: (gtin, response) =>
      later(usualMs(), () =>
        Math.random() < 0.1 ? send(response, gtin, 0, 500) : send(response, gtin, priceOf(gtin)),
      ),
  },
  { name: 'does not find anything: 404', withinS: 10, answer: (gtin, response) => send(response, gtin, 0, 404) },
  {
    name: 'takes four times as long',
    withinS: 10,
    answer: (gtin, response) => later(4 * usualMs(), () => send(response, gtin, priceOf(gtin))),
  },
  {
    name: 'has a wrong price for one supplier in ten',
    withinS: 30,
    answer: (gtin, response) => later(usualMs(), () => send(response, gtin, priceOf(gtin) + (gtin % 10 === 3 ? 1 : 0))),
  },
]

let version = GOOD

async function upstream(current: () => Version): Promise<{ url: string; close(): void }> {
  const server = createServer((req, response) => current().answer(Number(req.url?.split('/').at(-1)), response))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, close: () => void server.close().closeAllConnections() }
}

const [legacy, modern] = await Promise.all([upstream(() => GOOD), upstream(() => version)])
const folder = await mkdtemp(join(tmpdir(), 'banyan-demo-ramp-'))
const table = join(folder, 'routes.yaml')
await writeFile(
  table,
  `version: 1
upstreams:
  legacy: { servers: ["${legacy.url}"] }
  modern: { servers: ["${modern.url}"] }
default: legacy
routes:
  - id: lookup
    match: { path: /gtins/:gtin, methods: [GET] }
    to: modern
    percent: 0
    sticky: header:x-client
    cache: { ttl: 60s }
    shadow: { percent: 100 }
    ramp: { steps: [25, 100], hold: 5m }
`,
)
const main = fileURLToPath(new URL('../bin/banyan.js', import.meta.url))
const flags = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--workers', '0', '--access-log', 'none']
const banyan = spawn(process.execPath, [main, 'serve', '--table', table, ...flags], {
  stdio: ['ignore', 'pipe', 'ignore'],
})
const [port, adminPort] = await new Promise<number[]>((resolve, reject) => {
  createInterface({ input: banyan.stdout }).on('line', (line) => {
    if (line.startsWith('banyan ready ')) resolve([...line.matchAll(/http:\/\/[^ ]*:(\d+)/g)].map(([, n]) => Number(n)))
  })
  banyan.once('exit', (code) => reject(new Error(`banyan ended with ${code}`)))
})
const ended = new Promise((done) => banyan.once('exit', done))
// Where the demo itself fails.
process.once('exit', () => banyan.kill('SIGKILL'))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const agent = new Agent({ keepAlive: true, maxSockets: 200 })

/** One lookup; null where there was no answer. */
function lookup(gtin: number, client: string): Promise<{ status: number; price: number } | null> {
  return new Promise((resolve) => {
    const headers = { 'x-client': client }
    const req = request({ host: '127.0.0.1', port, path: `/gtins/${gtin}`, headers, agent }, async (res) => {
      let text = ''
      for await (const piece of res) text += piece
      resolve({ status: res.statusCode as number, price: JSON.parse(text || '{}').price })
    })
    req.on('error', () => resolve(null))
    req.end()
  })
}

let sent = 0
let perSecond = PER_SECOND
/** What was sent until now, by the clock: a timer that is late sends what it has missed. */
let dueSinceMs = performance.now()
const load = setInterval(() => {
  const nowMs = performance.now()
  const due = Math.min(Math.floor(((nowMs - dueSinceMs) * perSecond) / 1000), perSecond)
  if (due === 0) return
  dueSinceMs = nowMs
  for (let n = 0; n < due; n++) void lookup(sent, `client-${KEYS === null ? sent++ : sent++ % KEYS}`).catch(() => null)
}, 10)

async function ask(method: string, path: string, body?: object) {
  const init = body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
  const response = await fetch(`http://127.0.0.1:${adminPort}${path}`, { method, ...init })
  const json = await response.json()
  if (response.status >= 400) throw new Error(`${method} ${path}: ${json.detail ?? response.status}`)
  return json
}

const wait = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))
const say = (text: string): void => void (values.json === true ? process.stderr : process.stdout).write(`${text}\n`)
const bar = (percent: number): string => `[${'#'.repeat(Math.round(percent / 5)).padEnd(20, '.')}] ${percent} %`

interface Result {
  readonly version: string
  readonly status: string
  readonly seconds: number
  /** Requests that the new side had got by then. */
  readonly requests: number
  readonly words: string
  /** Nothing that a bad version has answered is stored; null for a good one. */
  readonly isClean: boolean | null
  readonly isAsItShouldBe: boolean
}

/** Tells the steps of a ramp until it is over. */
async function watch(limitS: number) {
  let told = ''
  const endMs = performance.now() + limitS * 1000
  for (;;) {
    const ramp = await ask('GET', '/routes/lookup/ramp')
    const line = `${bar((await ask('GET', '/routes/lookup')).percent)} ${ramp.status}`
    if (line !== told) say(`   ${(told = line)}: ${ramp.why}`)
    if (['done', 'rolled-back', 'aborted'].includes(ramp.status) || performance.now() > endMs) return ramp
    await wait(100)
  }
}

const attemptsOf = async (): Promise<number> => (await ask('GET', '/routes/lookup')).live.sides.modern?.attempts ?? 0

/** Plants a bad version at 25 %, and waits for its end. */
async function plant(bad: Version): Promise<Result> {
  say(`\n${bad.name}`)
  version = GOOD
  await ask('POST', '/routes/lookup/ramp/start')
  await wait(4000)
  const before = await attemptsOf()
  const sinceMs = performance.now()
  version = bad
  say('   planted')
  // Of a client one latency a minute counts, and one failure.
  const limitS = (bad.withinS as number) * (KEYS === null ? 1 : 30)
  // On a busy machine it comes late: the end says how late.
  const ramp = await watch(6 * limitS)
  const seconds = Math.round((performance.now() - sinceMs) / 100) / 10
  const requests = (await attemptsOf()) - before
  const { percent } = await ask('GET', '/routes/lookup')
  if (ramp.status !== 'rolled-back') await ask('POST', '/routes/lookup/ramp/abort', { back: true })
  // All that the bad version has answered is stored no more: who is on the new side again gets none of it.
  version = GOOD
  await ask('PATCH', '/routes/lookup', { percent: 100 })
  const stored = await Promise.all(
    Array.from({ length: 200 }, (_, n) => sent - 1 - n).map(async (gtin) => {
      const client = `client-${KEYS === null ? gtin : gtin % KEYS}`
      const answer = await lookup(gtin, client)
      return answer?.status === 200 && answer.price === priceOf(gtin)
    }),
  )
  await ask('PATCH', '/routes/lookup', { percent: 0 })
  const isClean = stored.every(Boolean)
  say(`   ${ramp.status} after ${seconds} s and ${requests} requests; cache ${isClean ? 'clean' : 'NOT CLEAN'}`)
  const isAsItShouldBe = ramp.status === 'rolled-back' && percent === 0 && seconds <= limitS && isClean
  return { version: bad.name, status: ramp.status, seconds, requests, words: ramp.why, isClean, isAsItShouldBe }
}

/** A good version with a little patience: it goes to all. */
async function letGo(): Promise<Result> {
  say(`\n${GOOD.name}`)
  version = GOOD
  perSecond = 3 * PER_SECOND
  const before = await attemptsOf()
  const sinceMs = performance.now()
  // So that it takes seconds, not hours: what is tolerated is more than one would in earnest.
  // Few clients show little: to go on by itself, it must tolerate even more.
  const guard = KEYS === null ? { tolerate: { harm: 4 } } : { minKeys: 10, tolerate: { harm: 50 } }
  const plan = { steps: [10, 50, 100, 'all'], hold: '2s', guard }
  await ask('POST', '/routes/lookup/ramp/start', { plan })
  const ramp = await watch(300)
  const seconds = Math.round((performance.now() - sinceMs) / 100) / 10
  const requests = (await attemptsOf()) - before
  const { percent } = await ask('GET', '/routes/lookup')
  say(`   ${ramp.status} after ${seconds} s`)
  const isAsItShouldBe = ramp.status === 'done' && percent === 100
  return { version: GOOD.name, status: ramp.status, seconds, requests, words: ramp.why, isClean: null, isAsItShouldBe }
}

say(
  `A route with two sides at 25 %, ${PER_SECOND} requests a second from ${KEYS ?? 'ever new'} clients; comparisons of all.`,
)
const results: Result[] = []
for (const bad of BAD) results.push(await plant(bad))
results.push(await letGo())
clearInterval(load)
agent.destroy()
banyan.kill('SIGTERM')
await ended
legacy.close()
modern.close()
await rm(folder, { recursive: true, force: true })
say('')
for (const { version: name, status, seconds, requests, isAsItShouldBe } of results)
  say(
    `${isAsItShouldBe ? 'ok  ' : 'NOT '} ${name.padEnd(42)} ${status.padEnd(12)} ${seconds} s, ${requests} requests of it`,
  )
if (values.json === true) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`)
process.exitCode = results.every(({ isAsItShouldBe }) => isAsItShouldBe) ? 0 : 1
