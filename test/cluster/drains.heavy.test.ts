/**
 * Drains while an instance is cut off from Redis, under load: whoever asks is told, no deploy goes on by them, and when the instance is
 * back they are in force there.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { startLoad } from '../support/load.ts'
import { startRedis } from '../support/redis.ts'
import { scriptedUpstream } from '../support/upstream.ts'
import { ask, folder, Gate, left, member, soon, undo } from './rig.ts'

afterEach(undo)

const run = promisify(execFile)

interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const banyan = (at: Banyan, ...words: string[]): Promise<Ran> =>
  run(process.execPath, ['bin/banyan.js', ...words, '--admin', `127.0.0.1:${at.adminPort}`]).then(
    (ran) => ({ code: 0, ...ran }),
    (error: Ran) => error,
  )

test('a drain that an instance which is cut off does not know is told, and is in force there when it is back', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const gate = new Gate(redis.port)
  /** Of clients, at the first one. */
  let requests = 0
  const servers = await Promise.all(
    [0, 1].map((nth) =>
      scriptedUpstream(async (request) => {
        if (nth === 0 && request.target === '/x') requests++
        await request.body().catch(() => {})
        await new Promise((done) => setTimeout(done, 10))
        await request.ok().catch(() => {})
      }),
    ),
  )
  left.push(() => Promise.all(servers.map((server) => server.stop())))
  const [a, b] = servers as [(typeof servers)[0], (typeof servers)[0]]
  const table = `version: 1
upstreams:
  main: { servers: ["http://127.0.0.1:${a.port}", "http://127.0.0.1:${b.port}"], health: { path: /health, every: 1s, up: 1 } }
default: main
`
  const one = await member(table, redis.url)
  const two = await member(table, await gate.open())
  const loads = [one, two].flatMap(({ port }) => [
    startLoad(port, 1, () => ({ path: '/x' })),
    startLoad(port, 1, () => ({ path: '/x', method: 'POST', body: 'x' })),
  ])
  const more = (): Promise<unknown> => Promise.all(loads.map((load) => load.more(5)))
  const server = `/upstreams/main/servers/${encodeURIComponent(`127.0.0.1:${a.port}`)}`
  const drained = async (at: Banyan): Promise<boolean> => (await ask(at, 'GET', server)).json.drained
  const replaced = join(folder(), 'replaced')
  const deploy = (): Promise<Ran> =>
    banyan(one, 'deploy', 'rolling', 'main', '--replace', `touch ${replaced}`, '--watch', '1s')
  const lists = async (at: Banyan) => (await ask(at, 'GET', '/status')).json.instances
  await soon(async () => expect(await lists(one)).toHaveLength(2))

  // A drain counts an instance that is cut off for a minute: what is asked is asked at once.
  for (const cut of [() => gate.cut(), () => gate.stall(true)]) {
    cut()
    expect(await ask(one, 'POST', `${server}/drain?wait=10s`)).toMatchObject({ status: 200, instances: '1/2' })
    await soon(async () => expect(await ask(two, 'POST', `${server}/drain`)).toMatchObject({ status: 503 }))
    expect(await drained(two)).toBe(false)
    // It serves on, with that server too.
    const before = requests
    await soon(async () => {
      await more()
      expect(requests).toBeGreaterThan(before)
    })
    gate.heal()
    await soon(async () => expect(await drained(two)).toBe(true))
    await soon(async () =>
      expect(await ask(one, 'POST', `${server}/drain?wait=1m`)).toMatchObject({
        instances: '2/2',
        json: { active: 0 },
      }),
    )
    const since = requests
    await more()
    expect(requests).toBe(since)
    await soon(async () => expect(await ask(two, 'POST', `${server}/undrain`)).toMatchObject({ instances: '2/2' }))
    expect(await drained(one)).toBe(false)
  }
  gate.cut()
  const stopped = await deploy()
  expect(`${stopped.stdout}${stopped.stderr}`).toContain('only 1 of 2 instances have drained it')
  expect(stopped.code).not.toBe(0)
  expect(existsSync(replaced)).toBe(false)
  expect(await drained(one)).toBe(false)
  gate.heal()
  await soon(async () => expect(await ask(two, 'POST', `${server}/undrain`)).toMatchObject({ instances: '2/2' }))
  expect(await deploy()).toMatchObject({ code: 0 })
  expect(existsSync(replaced)).toBe(true)
  for (const load of loads) await load.stop()
  expect(loads.flatMap(({ outcomes }) => outcomes.filter(({ status }) => status !== 200))).toEqual([])
})
