/**
 * Counters only rise, or begin at 0: whichever worker is gone, and whatever an edit makes anew.
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { banyanWith, Load, upstreamNamed, workersBecome, workersOf } from './rig.ts'

/** All counters, and the buckets, sums and counts of histograms, by name and labels. */
async function counters(banyan: Banyan): Promise<Map<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  const samples = text.split('\n').filter((line) => /^banyan_\w+(_total|_bucket|_count|_sum)[{ ]/.test(line))
  return new Map(
    samples.map((line) => {
      const end = line.lastIndexOf(' ')
      return [line.slice(0, end), Number(line.slice(end))]
    }),
  )
}

/** Takes counters again and again; tells of each that has fallen, or gone, since it was last looked at. */
class Watch {
  readonly #banyan: Banyan
  #last = new Map<string, number>()

  constructor(banyan: Banyan) {
    this.#banyan = banyan
  }

  async fallen(): Promise<string[]> {
    const now = await counters(this.#banyan)
    const fallen = [...this.#last].filter(([name, value]) => (now.get(name) ?? -1) < value)
    this.#last = now
    return fallen.map(([name, value]) => `${name}: ${value} -> ${now.get(name)}`)
  }

  of(name: string): number {
    return [...this.#last].reduce((sum, [one, value]) => (one.startsWith(name) ? sum + value : sum), 0)
  }
}

/** Rewrites the table, and waits for the revision. */
async function edit(banyan: Banyan, change: (text: string) => string): Promise<void> {
  const [before] = await workersOf(banyan)
  const text = change(readFileSync(banyan.tableFile, 'utf8'))
  const reply = await fetch(`http://127.0.0.1:${banyan.adminPort}/routes.yaml`, {
    method: 'PUT',
    headers: { 'content-type': 'application/yaml' },
    body: text,
  })
  expect(reply.status, await reply.text()).toBe(200)
  await workersBecome(banyan, (workers) => workers.every(({ revision }) => revision > before!.revision))
}

test('a worker killed, workers replaced, connection settings, servers, upstreams and routes edited: no counter falls', async () => {
  const [legacy, modern] = [await upstreamNamed('legacy'), await upstreamNamed('modern')]
  const table = `version: 1
upstreams:
  legacy: { servers: [{ id: a, url: "http://127.0.0.1:${legacy}" }, { id: b, url: "http://127.0.0.1:${legacy}" }] }
  modern: { servers: [{ id: c, url: "http://127.0.0.1:${modern}" }, { id: dead, url: "http://127.0.0.1:1" }] }
default: legacy
routes:
  - { id: all, match: { path: /* }, to: modern, percent: 50, sticky: [request], breaker: { minRequests: 10 } }
`
  const banyan = await banyanWith(2, { table })
  const watch = new Watch(banyan)
  const load = new Load(banyan.port, 4)
  const settle = async (): Promise<void> => {
    await load.more(200)
    expect(await watch.fallen()).toEqual([])
  }
  await settle()
  const [first] = await workersOf(banyan)
  process.kill(first!.pid, 'SIGKILL')
  await workersBecome(banyan, (workers) => workers.every(({ state, pid }) => state === 'up' && pid !== first!.pid))
  await settle()
  expect(watch.of('banyan_server_exchanges_total')).toBeGreaterThan(200)
  expect(watch.of('banyan_retries_total')).toBeGreaterThan(0)
  const idle = (ms: number) => (text: string) => text.replaceAll('] }\n', `], timeouts: { idle: ${ms}ms } }\n`)
  await edit(banyan, idle(5001))
  await settle()
  const before = (await workersOf(banyan)).map(({ pid }) => pid)
  process.kill(banyan.pid, 'SIGHUP')
  await workersBecome(banyan, (workers) => workers.every(({ state, pid }) => state === 'up' && !before.includes(pid)))
  await settle()
  await edit(banyan, () => idle(5002)(table))
  await settle()
  // A server, a route and an upstream that are away for a moment.
  await edit(banyan, () => table.replace(/, \{ id: b, .*? \}/, ''))
  await load.more(50)
  await edit(banyan, () => table)
  await settle()
  const counted = watch.of('banyan_server_exchanges_total{upstream="modern"')
  await edit(banyan, () => table.replace(/ {2}modern: .*\n/, '').replace(/routes:[\s\S]*/, 'routes: []\n'))
  await load.more(50)
  await edit(banyan, () => table)
  await settle()
  expect(watch.of('banyan_server_exchanges_total{upstream="modern"')).toBeGreaterThan(counted)
  await load.stop()
  // Only those that the killed worker had under way.
  expect(load.failed.filter(({ status }) => status !== null)).toEqual([])
})

test('of a route that is gone there is no breaker, and what it has counted stays', async () => {
  const legacy = await upstreamNamed('legacy')
  const route = (id: string): string =>
    `  - { id: ${id}, match: { path: /${id}/* }, to: dead, percent: 100, fallback: {}, breaker: { minRequests: 5 } }\n`
  const table = `version: 1
upstreams: { legacy: { servers: ["http://127.0.0.1:${legacy}"] }, dead: { servers: ["http://127.0.0.1:1"] } }
default: legacy
routes:
`
  const banyan = await banyanWith(2, { table: `${table}${route('one')}${route('two')}` })
  const loads = ['one', 'two'].map((id) => new Load(banyan.port, 2, { path: `/${id}/x` }))
  await Promise.all(loads.map((load) => load.more(100)))
  const names = async (): Promise<string> => (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  expect(await names()).toMatch(/banyan_breaker_state\{route="one",upstream="dead",state="open"\} 1/)
  const [first] = await workersOf(banyan)
  process.kill(first!.pid, 'SIGKILL')
  await workersBecome(banyan, (workers) => workers.every(({ state, pid }) => state === 'up' && pid !== first!.pid))
  await edit(banyan, () => `${table}${route('two')}`)
  await Promise.all(loads.map((load) => load.more(100)))
  const text = await names()
  expect(text).not.toMatch(/banyan_breaker_\w+\{route="one"/)
  expect(text).toMatch(/banyan_breaker_state\{route="two",upstream="dead",state="open"\} 1/)
  expect(text).toMatch(/banyan_requests_total\{route="one",/)
  await Promise.all(loads.map((load) => load.stop()))
})
