/**
 * Several workers as one proxy: figures, purges, explanations, force tokens, logs, the spread of connections.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { makeForceToken } from '../../src/state/force-token.ts'
import type { Banyan } from '../support/banyan.ts'
import { tableFor } from '../support/banyan.ts'
import { startRedis } from '../support/redis.ts'
import { banyanWith, get, Load, metric, setPercent, upstreamNamed, workersBecome, workersOf } from './rig.ts'

const SECRET = 'sixteen characters'

/** A connection to each of so many places in the round; two neighbours are at different workers. */
function kept(count: number): Agent[] {
  const agents = Array.from({ length: count }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
  onTestFinished(() => {
    for (const agent of agents) agent.destroy()
  })
  return agents
}

const admin = async (banyan: Banyan, path: string, body?: object) => {
  const how =
    body === undefined
      ? {}
      : { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
  const answer = await fetch(`http://127.0.0.1:${banyan.adminPort}${path}`, how)
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
  return (await answer.json()) as any
}

async function cached(): Promise<string> {
  const [legacy, modern] = [await upstreamNamed('legacy'), await upstreamNamed('modern')]
  return `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy}"] }
  modern: { servers: ["http://127.0.0.1:${modern}"] }
default: legacy
routes:
  - id: lookup
    match: { path: /gtins/:gtin }
    to: modern
    percent: 0
    cache: { ttl: 10m }
`
}

test('connections are spread evenly, and a worker that comes anew is filled first', async () => {
  const banyan = await banyanWith(3, { table: tableFor(await upstreamNamed('main')) })
  const spread = async () => (await workersOf(banyan)).map(({ connections }) => connections)
  const first = kept(30)
  for (const agent of first) await get(banyan.port, '/', agent)
  expect(await spread()).toEqual([10, 10, 10])
  const [before] = await workersOf(banyan)
  process.kill(before!.pid, 'SIGKILL')
  await workersBecome(banyan, ([one]) => one!.state === 'up' && one!.pid !== before!.pid)
  expect(await spread()).toEqual([0, 10, 10])
  for (const agent of kept(10)) await get(banyan.port, '/', agent)
  expect(await spread()).toEqual([10, 10, 10])
  for (const agent of first) agent.destroy()
  await workersBecome(banyan, (workers) => workers[1]!.connections === 0 && workers[2]!.connections === 0)
})

test('figures are those of all workers, and stay when workers are replaced', async () => {
  const banyan = await banyanWith(2, { table: await cached() })
  const [a, b] = kept(2) as [Agent, Agent]
  for (let n = 0; n < 10; n++) for (const agent of [a, b]) await get(banyan.port, `/gtins/${n}`, agent)
  const figures = async () => ({
    requests: await metric(banyan, 'banyan_requests_total'),
    stored: await metric(banyan, 'banyan_cache_stored_total'),
    durations: await metric(banyan, 'banyan_request_duration_seconds_count'),
    connects: (await metric(banyan, 'banyan_upstream_connects_total')) > 1,
    live: (await admin(banyan, '/routes/lookup')).live.exchanges,
  })
  // Each worker has a memory of its own.
  const before = await figures()
  expect(before).toEqual({ requests: 20, stored: 20, durations: 20, connects: true, live: 20 })
  expect((await admin(banyan, '/cache')).memory.entries).toBe(20)
  for (const agent of [a, b]) agent.destroy()
  banyan.program.child.kill('SIGHUP')
  await banyan.program.line((line) => line.includes('"event":"replaced"'))
  expect(await figures()).toEqual(before)
  expect((await admin(banyan, '/cache')).memory.entries).toBe(0)
  await get(banyan.port, '/gtins/1', kept(1)[0] as Agent)
  expect(await figures()).toMatchObject({ requests: 21, live: 21 })
})

test('a purge reaches the memory of every worker, and so does that of a share that is taken back', async () => {
  const banyan = await banyanWith(2, { table: await cached(), args: ['--expose-cache-status'] })
  const agents = kept(2) as [Agent, Agent]
  const stored = () => metric(banyan, 'banyan_cache_stored_total')
  for (const agent of agents) await get(banyan.port, '/gtins/1', agent)
  for (const agent of agents) await get(banyan.port, '/gtins/1', agent)
  expect(await stored()).toBe(2)
  expect(await admin(banyan, '/cache/purge', { url: '/gtins/1' })).toMatchObject({ shared: true })
  for (const agent of agents) await get(banyan.port, '/gtins/1', agent)
  expect(await stored()).toBe(4)
  await setPercent(banyan, 'lookup', 100)
  for (const agent of agents) expect((await get(banyan.port, '/gtins/1', agent)).text).toBe('modern')
  await setPercent(banyan, 'lookup', 0)
  await setPercent(banyan, 'lookup', 100)
  for (const agent of agents) expect((await get(banyan.port, '/gtins/1', agent)).text).toBe('modern')
  expect(await stored()).toBe(8)
})

test('what an unsafe request makes untrue is dropped by every worker', async () => {
  const banyan = await banyanWith(2, { table: await cached() })
  const agents = kept(2) as [Agent, Agent]
  for (const agent of agents) await get(banyan.port, '/gtins/1', agent)
  const fetches = () => metric(banyan, 'banyan_cache_fetches_total')
  expect(await fetches()).toBe(2)
  await (await fetch(`http://127.0.0.1:${banyan.port}/gtins/1`, { method: 'PUT', body: 'other' })).text()
  // It is told on, in a moment: neither has it any more.
  for (const agent of agents) {
    const before = await fetches()
    await expect
      .poll(async () => {
        await get(banyan.port, '/gtins/1', agent)
        return await fetches()
      })
      .toBe(before + 1)
  }
})

test('a server that is drained takes no request of any worker', async () => {
  const [one, two] = [await upstreamNamed('one'), await upstreamNamed('two')]
  const table = tableFor(one).replace(']', `, "http://127.0.0.1:${two}"]`)
  const banyan = await banyanWith(2, { table })
  const agents = kept(8)
  const answers = async () => [
    ...new Set((await Promise.all(agents.map((agent) => get(banyan.port, '/', agent)))).map(({ text }) => text)),
  ]
  await expect.poll(answers).toHaveLength(2)
  const path = `/upstreams/main/servers/127.0.0.1:${one}/drain`
  expect((await fetch(`http://127.0.0.1:${banyan.adminPort}${path}`, { method: 'POST' })).status).toBe(200)
  for (let n = 0; n < 5; n++) expect(await answers()).toEqual(['two'])
})

test('explain, the exchanges of any worker by id, and a dry run over all of them', async () => {
  const banyan = await banyanWith(2, { table: await cached(), args: ['--force-secret', SECRET] })
  const agents = kept(2) as [Agent, Agent]
  for (const [at, agent] of agents.entries()) await get(banyan.port, `/gtins/${at}`, agent)
  const { exchanges } = await admin(banyan, '/exchanges')
  expect(exchanges.map(({ target }: { target: string }) => target).sort()).toEqual(['/gtins/0', '/gtins/1'])
  for (const { id, target } of exchanges) expect(await admin(banyan, `/exchanges/${id}`)).toMatchObject({ id, target })
  const explained = await admin(banyan, '/explain', { url: '/gtins/0' })
  expect(explained).toMatchObject({ decision: { routeId: 'lookup', upstream: 'legacy' }, server: expect.any(String) })
  const dry = await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/lookup?dryRun=true`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/merge-patch+json' },
    body: '{"percent": 100}',
  })
  expect(await dry.json()).toMatchObject({ simulation: { exchanges: 2, moved: 2 } })
  const token = makeForceToken(SECRET, 'modern', Date.now() + 60_000)
  const headers = { 'banyan-upstream': 'modern', 'banyan-force': token }
  for (const agent of agents)
    expect(await get(banyan.port, '/gtins/0', agent, headers)).toMatchObject({ text: 'modern' })
})

test.each(['json', 'file'])('the access log (%s) has a whole line for each exchange of any worker', async (where) => {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-workers-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'access.log')
  const args = ['--access-log', where === 'json' ? 'json' : file]
  const banyan = await banyanWith(2, { table: tableFor(await upstreamNamed('main')), args })
  // Long lines, some with more bytes than a pipe takes at once.
  const load = new Load(banyan.port, 8, { path: `/${'x'.repeat(6000)}` })
  await load.more(500)
  await load.stop()
  expect(await banyan.stop()).toBe(0)
  const lines = where === 'json' ? banyan.log : readFileSync(file, 'utf8').trim().split('\n')
  const logged = lines
    .map((line) => JSON.parse(line) as { target?: string; id?: string })
    .filter(({ target }) => target)
  expect(logged).toHaveLength(load.requests)
  expect(new Set(logged.map(({ id }) => id)).size).toBe(load.requests)
  expect(new Set(logged.map(({ id }) => id?.split('-')[0])).size).toBe(2)
})

test('workers share answers through Redis, and are told of purges once they are in step', async () => {
  const redis = await startRedis()
  onTestFinished(() => redis.stop())
  const args = ['--redis', redis.url, '--redis-deadline', '20s', '--expose-cache-status']
  const banyan = await banyanWith(2, { table: await cached(), args })
  await expect.poll(() => banyan.log.filter((line) => line.includes('"state":"up"')).length).toBe(2)
  const agents = kept(2) as [Agent, Agent]
  for (let n = 0; n < 10; n++) for (const agent of agents) await get(banyan.port, `/gtins/${n}`, agent)
  expect(await metric(banyan, 'banyan_cache_fetches_total')).toBe(10)
  expect(await admin(banyan, '/cache/purge', { everything: true })).toMatchObject({ shared: true })
  for (const agent of agents) await get(banyan.port, '/gtins/1', agent)
  expect(await metric(banyan, 'banyan_cache_fetches_total')).toBe(11)
})

test('a table from standard input reaches the workers', async () => {
  const { spawn } = await import('node:child_process')
  const { once } = await import('node:events')
  const port = await upstreamNamed('main')
  const args = [
    'bin/banyan.js',
    'serve',
    '--table',
    '-',
    '--listen',
    '127.0.0.1:0',
    '--admin',
    '127.0.0.1:0',
    '--workers',
    '2',
  ]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  child.stdin.end(tableFor(port))
  let out = ''
  const ready = new Promise<number>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
      const found = /^banyan ready http:\/\/[^ ]*:(\d+) .* table - /m.exec(out)
      if (found) resolve(Number(found[1]))
    })
  })
  expect(await (await fetch(`http://127.0.0.1:${await ready}/`)).text()).toBe('main')
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([0, null])
})
