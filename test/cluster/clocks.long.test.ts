/**
 * Instances whose clocks differ by minutes: nothing that they share goes by them.
 */
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { startLoad } from '../support/load.ts'
import { startRedis } from '../support/redis.ts'
import { ask, clusterTable, folder, historyOf, left, member, percents, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

const SHIFT = join(import.meta.dirname, '../support/shift-clock.ts')
const MINUTE_MS = 60_000

/** An instance whose clock differs. */
function shifted(table: string, redis: string, minutes: number, args: string[] = []): Promise<Banyan> {
  const env = { NODE_OPTIONS: `--import ${SHIFT}`, SHIFT_CLOCK_MS: String(minutes * MINUTE_MS) }
  return member(table, redis, args, folder(), env)
}

test('edits, drains, leases, ramps, cookies and pins of instances whose clocks are minutes apart', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const ramp =
    'sticky: [header:x-key], ramp: { steps: [10, 20, 30], hold: 1s, guard: { minKeys: 5, tolerate: { harm: 100, latency: 100 } } }'
  const pins = 'group: pins, sticky: [header:x-key], pinAfterWrite: 30m'
  const table = (await clusterTable())
    .replace('path: /a }, to: modern,', `path: /a }, to: modern, ${ramp},`)
    .replace('{ path: /c }, to: modern, percent: 0', `{ path: /c }, to: modern, percent: 100, ${pins}`)
    .concat(`  - { id: w, match: { path: /w }, to: modern, percent: 0, ${pins} }\n`)
    .concat('  - { id: v, match: { path: /v }, to: modern, percent: 50, sticky: [visitor] }\n')
  const secret = ['--cluster-secret', 'a secret of the test']
  const ahead = await shifted(table, redis.url, 7, secret)
  const behind = await shifted(table, redis.url, -7, secret)
  const right = await member(table, redis.url, secret)
  const all = [ahead, behind, right]
  for (const [n, at] of [...all, ...all].entries())
    await soon(async () => expect(await setPercent(at, 'b', n + 1)).toMatchObject({ status: 200, instances: '3/3' }))
  // Each has logged its edits.
  const timeOf = async (at: Banyan): Promise<number> =>
    Date.parse(JSON.parse((await at.program.line((line) => line.includes('"time"'))) as string).time)
  expect((await timeOf(ahead)) - (await timeOf(behind))).toBeGreaterThan(13 * MINUTE_MS)
  for (const at of all) {
    const { instances } = (await ask(at, 'GET', '/status')).json
    for (const one of instances)
      expect(one).toMatchObject({ state: 'in-step', seenSeconds: expect.toSatisfy((s) => s < 60) })
  }

  const [, port] = /localhost:(\d+)/.exec(table) as unknown as [string, string]
  const server = `/upstreams/legacy/servers/${encodeURIComponent(`localhost:${port}`)}`
  for (const [one, other] of [
    [ahead, behind],
    [behind, ahead],
  ] as const) {
    expect(await ask(one, 'POST', `${server}/drain?wait=20s`)).toMatchObject({ status: 200, instances: '3/3' })
    expect((await ask(other, 'GET', server)).json).toMatchObject({ drained: true })
    expect(await ask(other, 'POST', `${server}/undrain`)).toMatchObject({ status: 200, instances: '3/3' })
  }
  const leased = '/upstreams/legacy/servers/leased'
  const lease = { url: `http://127.0.0.2:${port}`, ttl: '4s' }
  expect(await ask(behind, 'PUT', leased, lease)).toMatchObject({ status: 201 })
  for (let n = 0; n < 8; n++) {
    await new Promise((done) => setTimeout(done, 800))
    expect((await ask(all[n % 3] as Banyan, 'PUT', leased, lease)).status, `${n}`).toBe(200)
    for (const at of all) expect((await ask(at, 'GET', leased)).status).toBe(200)
  }
  for (const at of all) await soon(async () => expect((await ask(at, 'GET', leased)).status).toBe(404))

  // Ramps: one of an instance that is ahead, then a newer one of the same route by another that is behind.
  let keys = 0
  const loads = all.map(({ port }) => startLoad(port, 1, () => ({ path: '/a', headers: { 'x-key': `k${keys++}` } })))
  expect(await ask(ahead, 'POST', '/routes/a/ramp/start')).toMatchObject({ status: 200, instances: '3/3' })
  await soon(async () => expect((await percents(behind))[0]).toBeGreaterThan(10))
  expect(await ask(ahead, 'POST', '/routes/a/ramp/abort', { back: true })).toMatchObject({ status: 200 })
  expect(await ask(right, 'PATCH', '/routes/a', { group: 'other' })).toMatchObject({ status: 200 })
  expect(await ask(behind, 'POST', '/routes/a/ramp/start')).toMatchObject({
    status: 200,
    json: { status: expect.stringMatching(/running|holding/) },
  })
  await soon(async () => expect((await percents(right))[0]).toBeGreaterThan(10))
  for (const at of all)
    await soon(async () =>
      expect((await ask(at, 'GET', '/routes/a/ramp')).json).toMatchObject({
        startedBy: 'anonymous',
        status: expect.stringMatching(/running|holding|done/),
      }),
    )
  await soon(async () =>
    expect((await ask(right, 'GET', '/routes/a/ramp')).json).toMatchObject({ status: 'done', percent: 30 }),
  )
  for (const load of loads) await load.stop()
  expect(loads.flatMap(({ outcomes }) => outcomes.filter(({ status }) => status !== 200))).toEqual([])
  await soon(async () => {
    const [one, ...others] = await Promise.all(all.map(historyOf))
    for (const other of others) expect(other).toEqual(one)
  })

  // A visitor is one of all, and a pin that lasts longer than the clocks differ is known to all.
  const visit = async (at: Banyan, cookie?: string) => {
    const headers = cookie === undefined ? {} : { Cookie: cookie }
    const { headers: got } = await fetch(`http://127.0.0.1:${at.port}/v`, { headers })
    return /banyan_visitor=[^;]+/.exec(got.get('Set-Cookie') ?? '')?.[0]
  }
  for (const at of all) {
    const visitor = await visit(at)
    expect(visitor).toBeDefined()
    for (const other of all) expect(await visit(other, visitor as string)).toBeUndefined()
  }
  for (const [n, at] of all.entries()) {
    const headers = { 'x-key': `pinned${n}` }
    await fetch(`http://127.0.0.1:${at.port}/w`, { method: 'POST', body: 'x', headers })
    for (const other of all)
      await soon(async () =>
        expect(await (await fetch(`http://127.0.0.1:${other.port}/c`, { headers })).text()).toBe('old'),
      )
  }

  // Evidence and progress of the day are the same sums at all.
  await redis.command('FLUSHALL')
  for (const at of all)
    await soon(async () => expect(await setPercent(at, 'b', 50)).toMatchObject({ status: 200, instances: '3/3' }))
})
