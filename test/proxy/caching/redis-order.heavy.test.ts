/**
 * Purges and invalidations that several instances order at the same time, or while Redis is away, is emptied or fails over: none
 * is lost, and no request fails. `BANYAN_ROUNDS=1000` makes as many rounds of the first tests.
 */
import { describe, expect, test } from 'vitest'
import { commandOf, type RedisServer } from '../../support/redis.ts'
import { type Rig, reply, statusOf } from './rig.ts'
import {
  clusterSetup,
  FRESH,
  following,
  masterOf,
  PATIENCE_MS,
  patiently,
  proxyOver,
  redisOf,
  remoteOf,
  replicatedClusterSetup,
  replicationOf,
  sentinelSetup,
} from './setups.ts'

const ROUNDS = Number(process.env.BANYAN_ROUNDS ?? 15)

/** Pages whose text counts up with each edit. */
class Pages {
  readonly #editions = new Map<string, number>()

  /** Answers a rig's upstream: what it serves, and 204 to all that may change something, which is an edit. */
  serve(rig: Rig): void {
    rig.legacy.handler = (request) => {
      if (request.method === 'GET') return request.send(reply(200, [FRESH], this.textOf(request.target)))
      this.edit(request.target)
      return request.send(reply(204))
    }
  }

  edit(target: string): void {
    this.#editions.set(target, (this.#editions.get(target) ?? 0) + 1)
  }

  textOf(target: string): string {
    return `${target} ${this.#editions.get(target) ?? 0}`
  }
}

/** Some instances over one Redis, in step, before the same pages. */
async function instances(url: string, count: number, deadlineMs = 2000): Promise<{ rigs: Rig[]; pages: Pages }> {
  const pages = new Pages()
  const first = await proxyOver(url, undefined, { deadlineMs })
  pages.serve(first)
  const others = await Promise.all(Array.from({ length: count - 1 }, () => proxyOver(url, first, { deadlineMs })))
  const rigs = [first, ...others]
  await patiently(() => rigs.every((rig) => remoteOf(rig).state === 'up'))
  return { rigs, pages }
}

const generationOf = (rig: Rig): number => rig.plane.cache.figures().generation

/** All have read the same, and that is at least so much. */
async function inStep(rigs: readonly Rig[], generation: number): Promise<void> {
  await patiently(() => rigs.every((rig) => generationOf(rig) >= generation && remoteOf(rig).state === 'up'))
}

/** Which targets each of some instances serves in an old edition. */
async function staleAt(rigs: readonly Rig[], pages: Pages, targets: readonly string[]): Promise<string[]> {
  const stale: string[] = []
  for (const [i, rig] of rigs.entries()) {
    const got = await Promise.all(targets.map((target) => rig.get(target)))
    for (const [j, { status, body }] of got.entries()) {
      const target = targets[j] as string
      if (status !== 200 || body.text !== pages.textOf(target)) stale.push(`${i}: ${status} ${body.text}`)
    }
  }
  return stale
}

const SETUPS: readonly [string, () => Promise<{ readonly url: string }>][] = [
  ['one server', () => redisOf()],
  ['a Sentinel', () => sentinelSetup()],
  ['a Cluster', clusterSetup],
]

test.each(SETUPS)('purges ordered at three instances at the same time: %s', { timeout: 600_000 }, async (_, setup) => {
  const { url } = await setup()
  const { rigs, pages } = await instances(url, 3)
  const all: string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const targets = rigs.map((_one, i) => `/${round}/${i}`)
    all.push(...targets)
    expect(await staleAt(rigs, pages, targets)).toEqual([])
    for (const target of targets) pages.edit(target)
    const before = generationOf(rigs[0]!)
    const told = await Promise.all(
      rigs.map((rig, i) => rig.plane.cache.purge({ what: 'url', url: targets[i] as string }, false)),
    )
    expect(told.every(({ shared }) => shared)).toBe(true)
    await inStep(rigs, before + rigs.length)
    expect(await staleAt(rigs, pages, targets)).toEqual([])
  }
  const fresh = await proxyOver(url, rigs[0])
  await patiently(() => remoteOf(fresh).state === 'up')
  expect(await staleAt([fresh], pages, all.slice(-300))).toEqual([])
})

test('what was asked for before a PUT or a purge, and comes after it, is not stored', async () => {
  const { rigs, pages } = await instances((await redisOf()).url, 2)
  const [a, b] = rigs as [Rig, Rig]
  for (const [target, change] of [
    ['/put', () => a.ask('PUT', '/put', 'Content-Length: 0')],
    ['/purged', () => a.plane.cache.purge({ what: 'url', url: '/purged' }, false)],
  ] as const) {
    let answer = (): void => {}
    const asked = new Promise<void>((arrived) => {
      a.legacy.handler = (request) => {
        if (request.method !== 'GET') return request.send(reply(204))
        answer = () => void request.send(reply(200, [FRESH], 'old'))
        return arrived()
      }
    })
    const early = b.get(target)
    await asked
    pages.edit(target)
    const before = generationOf(b)
    await change()
    await patiently(() => generationOf(b) > before)
    answer()
    expect((await early).body.text).toBe('old')
    pages.serve(a)
    expect(await staleAt(rigs, pages, [target])).toEqual([])
  }
})

test('an invalidation while Redis stands still holds at once here, and for the others when it goes on', {
  timeout: 2 * PATIENCE_MS,
}, async () => {
  const redis = await redisOf()
  const { rigs, pages } = await instances(redis.url, 2, 100)
  const [a, b] = rigs as [Rig, Rig]
  await a.get('/x')
  await patiently(() => remoteOf(a).writes === 1)
  await b.get('/x')
  redis.pause()
  expect((await a.ask('POST', '/x', 'Content-Length: 0')).status).toBe(204)
  expect((await a.ask('POST', '/x', 'Content-Length: 0')).status).toBe(204)
  expect((await a.get('/x')).body.text).toBe(pages.textOf('/x'))
  redis.resume()
  await inStep(rigs, 1)
  await patiently(async () => (await b.get('/x')).body.text === pages.textOf('/x'))
  const fresh = await proxyOver(redis.url, a)
  await patiently(() => remoteOf(fresh).state === 'up')
  expect(await staleAt([...rigs, fresh], pages, ['/x'])).toEqual([])
})

test('an unsafe request reaches the answers of all routes on its URI, everywhere', async () => {
  const redis = await redisOf()
  const routes = [
    '- id: phones',
    '  match: { path: /a, methods: [GET], headers: { x-phone: "1" } }',
    '  to: modern',
    '  cache: {}',
    '- id: posts',
    '  match: { path: /a, methods: [POST] }',
    '  to: modern',
    '- id: rest',
    '  match: { path: /* }',
    '  to: modern',
    '  cache: { key: { query: { drop: [utm] } } }',
  ]
  const a = await proxyOver(redis.url, undefined, { routes })
  const b = await proxyOver(redis.url, a, { routes })
  let edition = 0
  a.legacy.handler = (request) =>
    request.method === 'GET'
      ? request.send(reply(200, [FRESH], `${edition}`))
      : request.send(reply(201, ['Location: /b?utm=1'], ''))
  await patiently(() => [a, b].every((rig) => remoteOf(rig).state === 'up'))
  const ask = async (rig: Rig): Promise<string[]> => {
    const got = [await rig.get('/a', 'X-Phone: 1'), await rig.get('/a'), await rig.get('/b?utm=2'), await rig.get('/c')]
    return got.map(({ body }) => body.text)
  }
  for (const rig of [a, b]) expect(await ask(rig)).toEqual(['0', '0', '0', '0'])
  edition = 1
  await a.ask('POST', '/a', 'Content-Length: 0')
  expect(await ask(a)).toEqual(['1', '1', '1', '0'])
  await patiently(() => generationOf(b) === 2)
  expect(await ask(b)).toEqual(['1', '1', '1', '0'])
})

test('thousands of purges of other URLs take nothing away', async () => {
  const { rigs } = await instances((await redisOf()).url, 2)
  const [a, b] = rigs as [Rig, Rig]
  await a.get('/kept')
  await patiently(() => remoteOf(a).writes === 1)
  for (let i = 0; i < 3000; i += 100) {
    const some = Array.from({ length: 100 }, (_, j) => `https://shop.test/products/${i + j}`)
    await Promise.all(some.map((url) => a.plane.cache.purge({ what: 'url', url }, false)))
  }
  await inStep(rigs, 3000)
  for (const rig of [a, b]) expect(statusOf(await rig.get('/kept'))).toContain('hit')
})

/** What one stores the other finds in Redis, in variants too. */
async function isShared(one: Rig, other: Rig, name: string): Promise<void> {
  for (const field of ['X-Plain: 1', 'X-Variant: 1', 'X-Variant: 2']) {
    const target = `/${name}/${field.replace(/\W/g, '')}`
    const { writes } = remoteOf(one)
    const first = await one.get(target, field)
    await patiently(() => remoteOf(one).writes > writes)
    await patiently(async () => statusOf(await other.get(target, field))?.includes('hit') ?? false)
    expect((await other.get(target, field)).body.text).toBe(first.body.text)
  }
}

test.each<[string, (redis: RedisServer) => Promise<unknown>]>([
  ['killed and started empty', (redis) => redis.kill().then(() => redis.start())],
  ['emptied', (redis) => redis.command('FLUSHALL')],
])('a Redis that is %s after purges is shared through as before', { timeout: 2 * PATIENCE_MS }, async (_, empty) => {
  const redis = await redisOf()
  const { rigs } = await instances(redis.url, 2)
  const [a, b] = rigs as [Rig, Rig]
  a.legacy.handler = (request) =>
    request.send(reply(200, [FRESH, 'Vary: X-Variant'], `${request.target} ${request.field('x-variant')}`))
  await isShared(a, b, 'before')
  await a.plane.cache.purge({ what: 'prefix', url: '/' }, false)
  await inStep(rigs, 1)
  await empty(redis)
  await patiently(async () => (await redis.command('XLEN', 'banyan:{log}')) === ':2\r\n')
  await inStep(rigs, 1)
  await isShared(a, b, 'after')
  // In variants of what both had known before as well.
  const target = '/before/XVariant1'
  for (const rig of rigs) await rig.get(target, 'X-Variant: 1')
  await a.get(target, 'X-Variant: 9')
  await patiently(async () => statusOf(await b.get(target, 'X-Variant: 9'))?.includes('hit') ?? false)
  expect((await b.get(target, 'X-Variant: 9')).body.text).toBe(`${target} 9`)
})

/** Asks for something new at each, as clients do all the time, until Redis is in use by all. */
async function allUp(rigs: readonly Rig[]): Promise<void> {
  await patiently(async () => {
    for (const rig of rigs) expect((await rig.get(`/new/${Math.random()}`)).status).toBe(200)
    return rigs.every((rig) => remoteOf(rig).state === 'up')
  })
}

/** None of some targets is served in an old edition any more, by a new instance neither. */
async function allNew(
  url: string,
  rigs: readonly Rig[],
  pages: Pages,
  targets: readonly string[],
  upstreams = rigs[0],
): Promise<void> {
  const fresh = await proxyOver(url, upstreams)
  await patiently(() => remoteOf(fresh).state === 'up')
  expect(await staleAt([...rigs, fresh], pages, targets)).toEqual([])
}

describe('a Sentinel', () => {
  test('whose master stands still: it is left, and nothing that was ordered meanwhile is lost', {
    timeout: 3 * PATIENCE_MS,
  }, async () => {
    const setup = await sentinelSetup()
    const heard: string[] = []
    const pages = new Pages()
    const a = await proxyOver(setup.url, undefined, { deadlineMs: 100 })
    pages.serve(a)
    const b = await proxyOver(setup.url, a, { deadlineMs: 100, heard })
    await allUp([a, b])
    const said = heard.length
    const targets = ['/purged', '/posted', '/other']
    expect(await staleAt([a, b], pages, targets)).toEqual([])
    setup.master.pause()
    pages.edit('/purged')
    expect((await a.plane.cache.purge({ what: 'url', url: '/purged' }, false)).shared).toBe(false)
    await a.ask('POST', '/posted', 'Content-Length: 0')
    expect(await staleAt([a], pages, targets)).toEqual([])
    await patiently(async () => (await replicationOf(setup.replica)).includes('role:master'))
    await allUp([a, b])
    // The one on which nothing was ordered has said so as well.
    expect(heard[said]).toMatch(/^redis (does not answer in time|is not connected)/)
    expect(heard.at(-1)).toBe('up')
    await inStep([a, b], 2)
    await allNew(setup.url, [a, b], pages, targets)
    setup.master.resume()
    await allUp([a, b])
    await allNew(setup.url, [a, b], pages, targets)
  })

  test('whose master ends with records that its replica lacks: they are written again', {
    timeout: 3 * PATIENCE_MS,
  }, async () => {
    const setup = await sentinelSetup()
    const { rigs, pages } = await instances(setup.url, 2, 500)
    const [a, b] = rigs as [Rig, Rig]
    const targets = ['/purged', '/posted', '/seen']
    expect(await staleAt(rigs, pages, targets)).toEqual([])
    pages.edit('/seen')
    expect(await a.plane.cache.purge({ what: 'url', url: '/seen' }, false)).toMatchObject({ shared: true })
    await inStep(rigs, 1)
    setup.replica.pause()
    pages.edit('/purged')
    expect(await a.plane.cache.purge({ what: 'url', url: '/purged' }, false)).toMatchObject({
      shared: false,
      why: 'no replica of redis has confirmed it',
    })
    await b.ask('POST', '/posted', 'Content-Length: 0')
    await inStep(rigs, 3)
    await setup.master.kill()
    setup.replica.resume()
    await patiently(async () => (await replicationOf(setup.replica)).includes('role:master'))
    await allUp(rigs)
    await patiently(async () => (await setup.replica.command('XLEN', 'banyan:{log}')) === ':4\r\n')
    await allNew(setup.url, rigs, pages, targets)
  })

  test('that fails over by plan while purges are ordered', { timeout: 3 * PATIENCE_MS }, async () => {
    const setup = await sentinelSetup()
    const { rigs, pages } = await instances(setup.url, 3, 500)
    const targets = Array.from({ length: 90 }, (_, i) => `/${i}`)
    expect(await staleAt(rigs, pages, targets)).toEqual([])
    const over = commandOf(setup.port, 'SENTINEL', 'FAILOVER', 'mymaster')
    const shared: string[] = []
    for (const [i, target] of targets.entries()) {
      pages.edit(target)
      const rig = rigs[i % rigs.length] as Rig
      if ((await rig.plane.cache.purge({ what: 'url', url: target }, false)).shared) shared.push(target)
      expect((await rig.get(target)).body.text).toBe(pages.textOf(target))
    }
    await over
    await patiently(async () => (await replicationOf(setup.replica)).includes('role:master'))
    // What was said to be known to all is, whoever has left the old master by now.
    await allNew(setup.url, [], pages, shared, rigs[0])
    await patiently(async () => Number((await setup.replica.command('XLEN', 'banyan:{log}')).slice(1)) > targets.length)
    await allUp(rigs)
    await allNew(setup.url, rigs, pages, targets)
  })
})

test('a server that has lost its replicas shares nothing for sure, also on a connection anew', {
  timeout: 2 * PATIENCE_MS,
}, async () => {
  const master = await redisOf()
  const replica = await redisOf('--replicaof', '127.0.0.1', String(master.port))
  await following(replica, master)
  const rig = await proxyOver(master.url)
  await patiently(() => remoteOf(rig).state === 'up')
  const purge = async (url: string) => (await rig.plane.cache.purge({ what: 'url', url }, false)).shared
  // A replica may confirm too late on a busy machine.
  await patiently(() => purge('/a'))
  await replica.command('REPLICAOF', 'NO', 'ONE')
  await patiently(async () => (await replicationOf(master)).includes('connected_slaves:0'))
  const { reconnects } = remoteOf(rig)
  await master.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await patiently(() => remoteOf(rig).reconnects > reconnects && remoteOf(rig).state === 'up')
  expect(await purge('/b')).toBe(false)
})

test('a replica that is still copying the server has confirmed nothing, and is none when it has gone', async () => {
  const master = await redisOf('--repl-diskless-sync-delay', '600')
  const replica = await redisOf('--replicaof', '127.0.0.1', String(master.port))
  await patiently(async () => (await replicationOf(master)).includes('state=wait_bgsave'))
  const rig = await proxyOver(master.url)
  await patiently(() => remoteOf(rig).state === 'up')
  const purge = async (url: string) => (await rig.plane.cache.purge({ what: 'url', url }, false)).shared
  expect(await purge('/a')).toBe(false)
  await replica.kill()
  await patiently(async () => (await replicationOf(master)).includes('connected_slaves:0'))
  expect(await purge('/b')).toBe(true)
})

describe('a Sentinel whose old master goes on taking writes for ever', () => {
  // It can't be made a replica.
  const NEVER_DEMOTED = ['--rename-command', 'SLAVEOF', '', '--rename-command', 'REPLICAOF', '']

  test('is left when the Sentinel says so, and what was ordered there is known to all then', {
    timeout: 3 * PATIENCE_MS,
  }, async () => {
    const setup = await sentinelSetup(...NEVER_DEMOTED)
    const { rigs, pages } = await instances(setup.url, 2, 500)
    const targets = Array.from({ length: 40 }, (_, i) => `/${i}`)
    expect(await staleAt(rigs, pages, targets)).toEqual([])
    await commandOf(setup.port, 'SENTINEL', 'FAILOVER', 'mymaster')
    let ordered = 0
    const order = async () => {
      const target = targets[ordered] as string
      pages.edit(target)
      await rigs[ordered++ % rigs.length]!.plane.cache.purge({ what: 'url', url: target }, false)
    }
    // Some of them on the old master, when the replica has left it.
    while (ordered < 39 && !(await replicationOf(setup.replica)).includes('role:master')) await order()
    await order()
    await patiently(
      async () =>
        Number((await setup.replica.command('XLEN', 'banyan:{log}').catch(() => ':0')).slice(1)) === ordered + 1,
    )
    expect(await replicationOf(setup.master)).toContain('role:master')
    await allUp(rigs)
    await allNew(setup.url, rigs, pages, targets)
  })
})

test('a Redis that is full: purges reach all, new instances among them, and reads go on', async () => {
  const redis = await redisOf('--maxmemory', '3mb', '--maxmemory-policy', 'noeviction')
  const first = await proxyOver(redis.url)
  await patiently(() => remoteOf(first).state === 'up')
  await first.get('/kept')
  await patiently(() => remoteOf(first).writes === 1)
  const full = async () =>
    (await redis.command('SET', `filler ${Math.random()}`, 'x'.repeat(50_000))).startsWith('-OOM')
  await patiently(full)
  const heard: string[] = []
  const [a, b] = [await proxyOver(redis.url, first, { heard }), await proxyOver(redis.url, first)]
  await patiently(() => [a, b].every((rig) => remoteOf(rig).state === 'up'))
  expect(statusOf(await a.get('/kept'))).toContain('hit')
  await a.get('/new')
  await patiently(() => heard.includes('full'))
  expect(await a.plane.cache.purge({ what: 'url', url: '/kept' }, false)).toMatchObject({ shared: true })
  await inStep([first, a, b], 1)
  const { requests } = first.legacy
  expect((await b.get('/kept')).status).toBe(200)
  expect(first.legacy.requests).toBe(requests + 1)
  expect([a, b].map((rig) => remoteOf(rig).state)).toEqual(['up', 'up'])
})

test('a Cluster whose node with the log stands still: its replica takes over, and nothing is lost', {
  timeout: 3 * PATIENCE_MS,
}, async () => {
  const { url, nodes } = await replicatedClusterSetup()
  const { rigs, pages } = await instances(url, 2, 100)
  const [a, b] = rigs as [Rig, Rig]
  const targets = ['/seen', '/purged', '/posted', '/other']
  expect(await staleAt(rigs, pages, targets)).toEqual([])
  pages.edit('/seen')
  await b.plane.cache.purge({ what: 'url', url: '/seen' }, false)
  await inStep(rigs, 1)
  const owner = await masterOf(nodes, 'banyan:{log}')
  nodes[owner]!.pause()
  pages.edit('/purged')
  expect((await a.plane.cache.purge({ what: 'url', url: '/purged' }, false)).shared).toBe(false)
  await a.ask('POST', '/posted', 'Content-Length: 0')
  expect(await staleAt([a], pages, targets)).toEqual([])
  await patiently(async () => (await replicationOf(nodes[owner + 3]!)).includes('role:master'))
  await patiently(async () => {
    await allUp(rigs)
    return rigs.every((rig) => generationOf(rig) >= 3)
  })
  await allNew(url, rigs, pages, targets)
  nodes[owner]!.resume()
  await allUp(rigs)
  await allNew(url, rigs, pages, targets)
})

test('a Cluster that is down says so', { timeout: 2 * PATIENCE_MS }, async () => {
  const { url, nodes } = await clusterSetup()
  const heard: string[] = []
  const rig = await proxyOver(url, undefined, { heard })
  await patiently(() => remoteOf(rig).state === 'up')
  for (const node of nodes) {
    await node.command('CONFIG', 'SET', 'cluster-node-timeout', '500')
    await node.command('CONFIG', 'SET', 'cluster-require-full-coverage', 'yes')
  }
  await nodes[2]!.kill()
  await patiently(async () => {
    expect((await rig.get(`/new/${Math.random()}`)).status).toBe(200)
    return remoteOf(rig).why === 'redis says CLUSTERDOWN'
  })
  await patiently(() => heard.length > 0 && heard.at(-1) !== 'up')
})
