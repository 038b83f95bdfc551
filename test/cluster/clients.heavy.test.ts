/**
 * Clients of several instances: whoever is known to one is known to all, and reads where it has written, whichever instance it reaches.
 */
import { afterEach, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { startRedis } from '../support/redis.ts'
import { scriptedUpstream } from '../support/upstream.ts'
import { left, member, soon, undo } from './rig.ts'

afterEach(undo)

const [OLD, NEW] = ['a secret of the test', 'another secret of the test']

async function answering(name: string): Promise<number> {
  const upstream = await scriptedUpstream(async (request) => {
    await request.body().catch(() => {})
    await request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`)
  })
  left.push(() => upstream.stop())
  return upstream.port
}

async function tableOf(): Promise<string> {
  const route = (id: string, path: string, percent: number) =>
    `  - { id: ${id}, match: { path: ${path} }, to: shop, percent: ${percent}, group: orders, sticky: [cookie:sid, visitor], pinAfterWrite: 1m }\n`
  return `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${await answering('legacy')}"] }
  shop: { servers: ["http://127.0.0.1:${await answering('shop')}"] }
default: legacy
routes:
${route('read', '/orders', 50)}${route('old', '/old', 0)}${route('new', '/new', 100)}`
}

interface Told {
  readonly side: string
  /** The visitor that the client is made or told to be, by its cookie. */
  readonly visitor: string | null
}

async function ask({ port }: Banyan, cookie: string, [method, path] = ['GET', '/orders']): Promise<Told> {
  const headers = { ...(cookie !== '' && { Cookie: cookie }), Connection: 'close' }
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: method as string, headers })
  const visitor = /banyan_visitor=[^;]+/.exec(response.headers.get('Set-Cookie') ?? '')?.[0] ?? null
  return { side: await response.text(), visitor }
}

test('a visitor of one instance is one of all, and is pinned at all after a write; secrets can be replaced', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const table = await tableOf()
  const secret = (text: string, ...more: string[]): string[] => ['--cluster-secret', text, ...more]
  const one = await member(table, redis.url, secret(OLD))
  const two = await member(table, redis.url, secret(`${OLD},${NEW}`, '--workers', '2'))

  const { visitor, side } = await ask(one, '')
  expect(visitor).not.toBeNull()
  for (const at of [two, one, two]) expect(await ask(at, visitor as string)).toEqual({ side, visitor: null })

  /** The first key from a number on whose reads go to a side. */
  const keyOf = async (wanted: string, from: number): Promise<string> => {
    for (let n = from; ; n++) if ((await ask(one, `sid=k${n}`)).side === wanted) return `sid=k${n}`
  }
  const readsAt = async (at: Banyan, key: string): Promise<string[]> => {
    const reads: string[] = []
    for (let n = 0; n < 6; n++) reads.push((await ask(at, key)).side)
    return [...new Set(reads)]
  }
  const [alice, bob, carol] = [await keyOf('shop', 0), await keyOf('legacy', 0), await keyOf('shop', 100)]
  expect((await ask(one, alice, ['POST', '/old'])).side).toBe('legacy')
  expect((await ask(two, bob, ['POST', '/new'])).side).toBe('shop')
  for (const at of [one, two]) {
    await soon(async () => expect(await readsAt(at, alice)).toEqual(['legacy']))
    await soon(async () => expect(await readsAt(at, bob)).toEqual(['shop']))
    expect(await readsAt(at, carol)).toEqual(['shop'])
  }
  // What is no message of an instance is none.
  await redis.command('XADD', 'banyan:{shop}:topic:pins', '*', 'm', '{"pins":[]}')
  await redis.command('PUBLISH', 'banyan:{shop}:messages', 'pins')
  // Redis comes back empty: what is written from then on is told again.
  await redis.command('FLUSHALL')
  expect((await ask(two, carol, ['POST', '/old'])).side).toBe('legacy')
  await soon(async () => {
    // A pin may be made while there is nobody to tell.
    await ask(two, carol, ['POST', '/old'])
    expect(await readsAt(one, carol)).toEqual(['legacy'])
  })

  // The new secret is known to all before one makes cookies with it.
  await one.stop()
  const three = await member(table, redis.url, secret(`${NEW},${OLD}`))
  const renewed = await ask(three, visitor as string)
  expect(renewed.side).toBe(side)
  const again = renewed.visitor ?? ''
  expect(again.split('.')[0]).toBe((visitor as string).split('.')[0])
  expect(again).not.toBe(visitor)
  expect(await ask(three, again)).toEqual({ side, visitor: null })
  expect((await ask(two, again)).side).toBe(side)

  // Without any secret visitors of one instance are unknown to the others, which is said.
  const bare = await member(table, redis.url, ['--cluster', 'other'])
  const alone = 'each instance of the cluster has a key of its own for cookies'
  await bare.program.line((line) => line.includes(alone))
  const { reasons } = (await (await fetch(`http://127.0.0.1:${bare.adminPort}/readyz`)).json()) as { reasons: string[] }
  expect(reasons.join('\n')).toContain(alone)
})
