/**
 * docs/guides/day.md: each command is typed against a shop with traffic, and says what the page shows, but for figures and ids.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { freePort } from '../support/free-port.ts'
import { type ScriptedUpstream, scriptedUpstream } from '../support/upstream.ts'
import { PROJECT, textOf } from './project.ts'
import { blocksOf, Session } from './session.ts'

const page = textOf('docs/guides/day.md')
const blocks = blocksOf(page)
const TOKENS = { anna: 'the-secret-of-anna', bob: 'the-secret-of-bob' } as const
const SLOW_MS = 400
const WAIT = { timeout: 120_000, interval: 50 }

let folder: string
let banyan: Banyan
let upstreams: ScriptedUpstream[]
let session: Session
let traffic: NodeJS.Timeout
let receiver: ChildProcess
/** `traceparent` of the searches that servers got. */
const parents: string[] = []

function answeringAfter(ms: (target: string) => number): Promise<ScriptedUpstream> {
  return scriptedUpstream((request) => {
    if (request.target === '/search') parents.push(request.field('traceparent') ?? '')
    setTimeout(() => request.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'), ms(request.target))
  })
}

/** spans.mjs of docs/guides/tracing.md, printing into a file. */
async function startReceiver(port: string): Promise<void> {
  const [, script] = /^```js\n(\/\/ spans\.mjs\n[\s\S]*?)^```$/m.exec(
    textOf('docs/guides/tracing.md'),
  ) as RegExpExecArray
  writeFileSync(join(folder, 'spans.mjs'), (script as string).replace('4318', port))
  const out = openSync(join(folder, 'spans.txt'), 'w')
  receiver = spawn(process.execPath, ['spans.mjs'], { cwd: folder, stdio: ['ignore', out, 'inherit'] })
  closeSync(out)
  await vi.waitFor(() => fetch(`http://127.0.0.1:${port}`, { method: 'POST', body: '{"resourceSpans":[]}' }), WAIT)
}

/** Until the spans of everything so far are there: they come in the order in which they ended. */
async function spansAreThere(): Promise<void> {
  const traceId = randomBytes(16).toString('hex')
  await ask('/other', { traceparent: `00-${traceId}-${'b'.repeat(16)}-01` })
  await vi.waitFor(() => expect(readFileSync(join(folder, 'spans.txt'), 'latin1')).toContain(`${traceId} server`), WAIT)
}

const TABLE = (legacy: number, gtin: number): string => `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${legacy}] }
  gtin: { servers: [http://127.0.0.1:${gtin}] }
default: legacy
routes:
  - { id: reviews, match: { path: /reviews }, to: gtin, percent: 0, sticky: request }
  - { id: search, match: { path: /search }, to: gtin, percent: 0, sticky: request }
  - { id: gtin-lookup, match: { path: "/gtins/:gtin" }, to: gtin, percent: 5, sticky: request }
`

/** Percents of the day, as somebody sets them. */
async function set(who: keyof typeof TOKENS, route: string, percent: number, reason: string): Promise<void> {
  const headers = {
    Authorization: `Bearer ${TOKENS[who]}`,
    'Content-Type': 'application/json',
    'Banyan-Reason': reason,
  }
  const init = { method: 'PATCH', headers, body: JSON.stringify({ percent }) }
  const { status } = await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/${route}`, init)
  expect(status).toBe(200)
}

async function ask(path: string, headers: Record<string, string> = {}): Promise<void> {
  await fetch(`http://127.0.0.1:${banyan.port}${path}`, { headers }).then((response) => response.text())
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'banyan-day-'))
  upstreams = [await answeringAfter(() => 1), await answeringAfter((target) => (target === '/search' ? SLOW_MS : 1))]
  const table = TABLE(...(upstreams.map(({ port }) => port) as [number, number]))
  const tokens = Object.entries(TOKENS).map(([name, secret]) => `${name}:write:${secret}`)
  const collector = String(await freePort())
  await startReceiver(collector)
  const trace = ['--otlp', `http://127.0.0.1:${collector}`]
  const args = ['--access-log', join(folder, 'access.log'), '--admin-tokens', tokens.join(), ...trace]
  banyan = await startBanyan({ table, args })
  writeFileSync(join(folder, 'routes.yaml'), table)
  writeFileSync(join(folder, 'anna.token'), `${TOKENS.anna}\n`)
  writeFileSync(join(folder, 'banyan'), `#!/bin/sh\nexec '${process.execPath}' '${PROJECT}/bin/banyan.js' "$@"\n`)
  chmodSync(join(folder, 'banyan'), 0o755)
  await set('anna', 'reviews', 10, 'the first clients')
  await set('bob', 'search', 50, 'search is next')
  await set('bob', 'gtin-lookup', 30, 'no mismatches')
  const all = (): Promise<unknown> =>
    Promise.all(['/search', '/reviews', '/gtins/1', '/other'].map((path) => ask(path)))
  // As many searches as make it sure that both sides have some.
  for (let round = 0; round < 12; round++) await all()
  traffic = setInterval(() => void all().catch(() => {}), 250)
  const { PATH = '' } = process.env
  const env = { PATH: `${folder}:${PATH}`, HOME: folder, LC_ALL: 'C.UTF-8', TZ: 'UTC' }
  session = new Session(folder, env, new Map([['8081', String(banyan.adminPort)]]))
})

afterAll(async () => {
  clearInterval(traffic)
  await session?.close()
  await banyan?.stop()
  receiver?.kill()
  await Promise.all((upstreams ?? []).map((one) => one.stop()))
  rmSync(folder, { recursive: true, force: true })
})

/** Without what is different each time: figures, ages, ids, ports, and the room that they take. */
function plain(text: string): string {
  const times = /\d{4}-\d{2}-\d{2}T[\d:.]+Z/g
  const figures = /\b\d+(?:\.\d+)?(?:\/s| ms| s|[smh]\b)/g
  return text
    .replaceAll(times, 'TIME')
    .replaceAll(/127\.0\.0\.1:\d+/g, 'ADDRESS')
    .replaceAll(figures, 'N')
    .replaceAll(/ +/g, ' ')
}

test.each(blocks)('line $line', async (block) => {
  if (block.commands.includes('spans.txt')) await spansAreThere()
  // What comes may be shorter than what is shown: only its end is waited for.
  expect(plain(await session.type({ ...block, shown: '' }))).toBe(plain(block.shown))
})

test('the slow side is the one that the page names', async () => {
  const { status, text } = await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/search`, {
    headers: { Authorization: `Bearer ${TOKENS.anna}` },
  }).then(async (response) => ({ status: response.status, text: await response.text() }))
  expect(status).toBe(200)
  const { sides } = JSON.parse(text).live.lastFiveMinutes
  expect(sides.gtin.attemptP95Ms).toBeGreaterThanOrEqual(SLOW_MS * 0.95)
  expect(sides.legacy.attemptP95Ms).toBeLessThan(sides.gtin.attemptP95Ms)
})

test('the server got the trace id of the log line', () => {
  const spans = readFileSync(join(folder, 'spans.txt'), 'latin1')
  const traces = [...spans.matchAll(/^([0-9a-f]{32}) server GET \/search 200/gm)].map(([, id]) => id as string)
  const got = parents.map((parent) => /^00-([0-9a-f]{32})-[0-9a-f]{16}-01$/.exec(parent)?.[1])
  expect(traces.length).toBeGreaterThan(0)
  for (const id of traces) expect(got).toContain(id)
})
