/**
 * Drained and leased servers of a cluster, a rolling deploy over it, and what `banyan status` shows.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { banyan as inProcess, type Surroundings } from '../cli/rig.ts'
import type { Banyan } from '../support/banyan.ts'
import { freePort } from '../support/free-port.ts'
import { startLoad } from '../support/load.ts'
import { startRedis } from '../support/redis.ts'
import { ask, clusterTable, folder, Gate, left, member, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

const inShell: NonNullable<Surroundings['run']> = async (command) => {
  const [code] = await once(spawn('/bin/sh', ['-c', command], { stdio: 'ignore' }), 'exit')
  return code
}

/** `banyan WORDS...` at an instance. Throws where it fails. Not a process, which on a busy machine begins after an instance that is cut off has been forgotten. */
async function banyan(at: Banyan, ...words: string[]): Promise<{ stdout: string; stderr: string }> {
  const args = [...words, '--admin', `127.0.0.1:${at.adminPort}`]
  const { code, out, err } = await inProcess(args, { now: Date.now, run: inShell })
  const said = { stdout: out, stderr: err }
  if (code !== 0) throw Object.assign(new Error(out + err), { code, ...said })
  return said
}

test('a drain, a lease and its end reach all instances, outlive Redis, and end with the table', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const table = await clusterTable()
  const state = folder()
  const one = await member(table, redis.url)
  const two = await member(table, redis.url, ['--workers', '1'], state)
  const [, port] = /localhost:(\d+)/.exec(table) as unknown as [string, string]
  const server = `/upstreams/legacy/servers/${encodeURIComponent(`localhost:${port}`)}`
  expect(await ask(one, 'POST', `${server}/drain?wait=10s`)).toMatchObject({
    ...{ status: 200, instances: '2/2', json: { drained: true, active: 0 } },
  })
  expect((await ask(two, 'GET', server)).json).toMatchObject({ drained: true })
  const leased = '/upstreams/legacy/servers/leased'
  const lease = { url: `http://127.0.0.2:${port}`, ttl: '6s' }
  expect(await ask(two, 'PUT', leased, lease)).toMatchObject({ status: 201, instances: '2/2' })
  // It is renewed at one and the other in turn, for longer than it lasts.
  for (let n = 0; n < 8; n++) {
    await new Promise((done) => setTimeout(done, 800))
    expect((await ask([one, two][n % 2] as Banyan, 'PUT', leased, lease)).status).toBe(200)
  }
  expect((await ask(one, 'GET', leased)).json).toMatchObject({ id: 'leased' })
  await redis.command('FLUSHALL')
  await soon(async () => expect((await ask(one, 'PUT', leased, lease)).status).toBe(200))
  await two.stop()
  const again = await member(table, redis.url, [], state)
  expect((await ask(again, 'GET', server)).json).toMatchObject({ drained: true })
  await soon(async () => expect((await ask(one, 'GET', leased)).status).toBe(404))
  await soon(async () => expect((await ask(again, 'GET', leased)).status).toBe(404))
  // A server that was removed and comes again is another one.
  expect(await ask(again, 'DELETE', server)).toMatchObject({ status: 200, instances: '2/2' })
  await soon(async () => {
    await ask(one, 'PUT', server, { url: `http://localhost:${port}` })
    expect((await ask(one, 'GET', server)).json).toMatchObject({ drained: false })
  })
  await redis.kill()
  await soon(async () => expect(await ask(one, 'POST', `${server}/drain`)).toMatchObject({ status: 503 }))
  expect((await ask(one, 'POST', `${server}/drain`)).json.detail).toMatch(
    /^Servers of cluster shop can't be drained or leased: .*; nothing was changed\.$/,
  )
  expect((await ask(one, 'GET', server)).json).toMatchObject({ drained: false })
})

test('of two records of one number, which a restored Redis can lead to, all instances have the one that Redis has', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const table = await clusterTable()
  const one = await member(table, redis.url)
  const two = await member(table, redis.url)
  const [, id = ''] = /(localhost:\d+)/.exec(table) ?? []
  const server = `/upstreams/legacy/servers/${encodeURIComponent(id)}`
  expect(await ask(one, 'POST', `${server}/drain`)).toMatchObject({ status: 200, instances: '2/2' })
  const [key, field] = ['banyan:{shop}:records:servers', '0:3:all']
  const [, row = ''] = (await redis.command('HGET', key, field)).split('\r\n')
  expect(row).toContain(id)
  await redis.command('HSET', key, field, row.replace(id, '127.0.0.9:1'))
  for (const at of [one, two])
    await soon(async () => expect((await ask(at, 'GET', server)).json).toMatchObject({ drained: false }))
})

test('status lists instances, revisions and lag, and an edit says where it is in force', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const gate = new Gate(redis.port)
  const table = await clusterTable()
  const one = await member(table, redis.url)
  const two = await member(table, await gate.open())
  await setPercent(one, 'a', 10)
  await soon(async () =>
    expect((await ask(one, 'GET', '/status')).json).toMatchObject({
      cluster: { name: 'shop', epoch: 1, revision: 2, problem: null },
      instances: [
        { self: true, admin: `127.0.0.1:${one.adminPort}`, state: 'in-step', revision: 2, behind: 0 },
        { self: false, admin: `127.0.0.1:${two.adminPort}`, state: 'in-step', revision: 2, behind: 0 },
      ],
    }),
  )
  // The same time at both: the revision was made once.
  const { madeAt } = (await ask(one, 'GET', '/status')).json
  await soon(async () => expect((await ask(two, 'GET', '/status')).json).toMatchObject({ revision: 2, madeAt }))
  const [, server = ''] = /\/\/(localhost:\d+)/.exec(table) ?? []
  await banyan(two, 'servers', 'drain', 'legacy', server)
  gate.cut()
  await soon(async () => {
    const { stderr } = await banyan(one, 'set', 'a', '20')
    expect(stderr).toBe('in force at 1 of 2 instances so far: see banyan status\n')
  })
  await soon(async () => {
    const { stdout } = await banyan(one, 'status')
    expect(stdout).toMatch(/cluster shop, newest revision 3\n/)
    expect(stdout).toContain(`\ndrained: legacy/${server}\n`)
    expect(stdout).toMatch(new RegExp(`127.0.0.1:${two.adminPort} +\\S+ +0 +silent for \\d+ s +2 +1`))
  })
  expect((await banyan(two, 'status')).stdout).toMatch(/not-following +2 /)
  gate.heal()
  await soon(async () => expect((await banyan(two, 'status')).stdout).toMatch(/ \* .*in-step +3 +0\s/))
  // One that leaves is none any more.
  await two.stop()
  await soon(async () => expect((await ask(one, 'GET', '/status')).json.instances).toHaveLength(1))
})

/** A server that takes its time, and ends at once with all that it is at. */
class AbruptServer {
  readonly port: number
  status = 200
  #server: Server | null = null

  constructor(port: number) {
    this.port = port
  }

  async start(): Promise<void> {
    this.#server = createServer((req, res) => {
      req.resume()
      if (req.url === '/health') res.end()
      else setTimeout(() => res.writeHead(this.status).end('done'), 100)
    })
    this.#server.listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  end(): void {
    this.#server?.closeAllConnections()
    this.#server?.close()
  }

  async replace(): Promise<void> {
    this.end()
    await this.start()
  }
}

test('deploys of every kind fail no request at any of three instances, and are judged by what all of them see', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const servers: AbruptServer[] = []
  for (let n = 0; n < 3; n++) {
    const server = new AbruptServer(await freePort())
    await server.start()
    left.push(() => server.end())
    servers.push(server)
  }
  const [a, b, green] = servers as [AbruptServer, AbruptServer, AbruptServer]
  const urls = (...some: AbruptServer[]): string => some.map(({ port }) => `"http://127.0.0.1:${port}"`).join(', ')
  const health = 'health: { path: /health, every: 200ms, timeout: 20s, up: 1, down: 1 }'
  const table = `version: 1
upstreams:
  main: { servers: [${urls(a, b)}], ${health} }
  green: { servers: [${urls(green)}], ${health} }
default: main
routes:
  - { id: shop, match: { path: /shop }, to: green, percent: 0, sticky: request }
`
  // Replaces one when it is asked to.
  const control = createServer(async (req, res) => {
    await servers.find(({ port }) => req.url === `/${port}`)?.replace()
    res.end()
  })
  control.listen(0, '127.0.0.1')
  await once(control, 'listening')
  left.push(() => control.close())
  const { port } = control.address() as AddressInfo
  const one = await member(table, redis.url)
  const [two, three] = await Promise.all([member(table, redis.url), member(table, redis.url)])
  const loads = [one, two, three].flatMap((at) => [
    startLoad(at.port, 1, (n) => ({ path: n % 2 === 0 ? '/x' : '/shop' })),
    startLoad(at.port, 1, (n) => ({ path: n % 2 === 0 ? '/x' : '/shop', method: 'POST', body: 'x' })),
  ])
  const more = (): Promise<unknown> => Promise.all(loads.map((load) => load.more(4)))
  const deploy = async (at: Banyan, ...words: string[]): Promise<void> => {
    await more()
    const { stdout } = await banyan(at, 'deploy', ...words)
    expect(stdout).toContain('done')
  }

  const replace = `curl -sf http://127.0.0.1:${port}/$(echo {url} | sed 's/.*://')`
  const rolling = (): Promise<void> => deploy(two, 'rolling', 'main', '--replace', replace, '--watch', '1s')
  // On a busy machine an instance may not say in time that a server is drained there: the deploy stops, and can be begun again.
  for (let isDone = false; !isDone; )
    isDone = await rolling().then(
      () => true,
      (error: { stdout?: string }) => {
        if (!/only \d of 3 instances have drained it/.test(error.stdout ?? '')) throw error
        return false
      },
    )
  await deploy(one, 'blue-green', 'main', 'green', '--watch', '1s')
  await Promise.all([a.replace(), b.replace()])
  await soon(() => deploy(three, 'blue-green', 'green', 'main', '--watch', '1s'))
  await green.replace()
  const few = ['--hold', '1s', '--min-requests', '5', '--max-errors', '100%']
  await soon(() => deploy(two, 'canary', 'shop', '--steps', '50,100', ...few))
  await more()
  await banyan(one, 'set', 'shop', '0')
  await more()
  await green.replace()
  await deploy(three, 'canary', 'main', `127.0.0.1:${a.port}`, '--weights', '3,1', ...few)
  await banyan(two, 'servers', 'drain', 'main', `127.0.0.1:${b.port}`, '--wait', '1m')
  await b.replace()
  await banyan(one, 'servers', 'undrain', 'main', `127.0.0.1:${b.port}`)
  await banyan(three, 'restore', '1', '--yes')
  await more()
  for (const load of loads) await load.stop()
  expect(loads.flatMap(({ outcomes }) => outcomes.filter(({ status }) => status !== 200))).toEqual([])

  // Only one that is not asked has clients, and b fails.
  b.status = 500
  const load = startLoad(two.port, 4, () => ({ path: '/x' }))
  const canary = banyan(one, 'deploy', 'canary', 'main', `127.0.0.1:${b.port}`, '--weights', '2', '--hold', '1s')
  const failed = await canary.catch((error: { code: number; stdout: string }) => error)
  const why = /failed: .*(\d requests failed|was ejected at instance)/
  expect(failed).toMatchObject({ code: 6, stdout: expect.stringMatching(why) })
  await load.stop()
})
