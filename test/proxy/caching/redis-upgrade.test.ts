/**
 * A Redis that an instance of the release before (commit 997629a) has used, or uses at the same time: what it left does no harm,
 * and purges and invalidations reach both. Its records are made here as it made them.
 */
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { startRedis } from '../../support/redis.ts'
import { type Rig, reply, statusOf } from './rig.ts'
import { FRESH, patiently, proxyOver, remoteOf } from './setups.ts'

const redis = await startRedis()
afterAll(() => redis.stop())
beforeEach(() => redis.command('FLUSHALL'))

/** An instance of this release that has reached Redis, and whose upstream answers with `text`. @param like it has the table of that one */
async function instance(text: () => string, like?: Rig): Promise<Rig> {
  const rig = await proxyOver(redis.url, like)
  rig.legacy.handler = (request) => request.send(request.method === 'GET' ? reply(200, [FRESH], text()) : reply(204))
  await patiently(() => remoteOf(rig).state === 'up')
  return rig
}

/** The key of a page of this rig's route, as that release makes it, too. */
const keyOf = (target: string): string => `all\nlegacy\nGET http://shop.test${target}`

/** A stored answer in the form of that release. */
function earlierEntry(body: string): Buffer {
  const nowMs = Date.now()
  const meta = {
    status: 200,
    bornMs: nowMs,
    storedMs: nowMs,
    dateMs: nowMs,
    freshUntilMs: nowMs + 60_000,
    lifetime: 'max-age',
    noCache: false,
    mustRevalidate: false,
    staleWhileRevalidateMs: 0,
    staleIfErrorMs: null,
    usefulUntilMs: nowMs + 120_000,
    forAuthorized: true,
    etag: null,
    lastModified: null,
    lastModifiedMs: null,
    vary: [],
  }
  const head = Buffer.from(JSON.stringify([meta, 'OK', 0, ['Content-Length', String(body.length)]]))
  const bytes = Buffer.alloc(10 + head.length + body.length)
  bytes[0] = 1
  bytes.writeUInt32LE(head.length, 6)
  head.copy(bytes, 10)
  bytes.write(body, 10 + head.length)
  bytes.writeUInt32LE(crc32(bytes.subarray(5)), 1)
  return bytes
}

/** A purge as that release writes it. */
const earlierPurge = (url: string): string => JSON.stringify({ target: { what: 'url', url }, soft: false, atMs: 1 })

test('what it has stored is not used', async () => {
  for (const name of [keyOf('/a'), `2\n${keyOf('/a')}`]) {
    await redis.command('SET', `banyan:e:${hash('sha256', name, 'base64url')}`, earlierEntry('earlier'))
  }
  const rig = await instance(() => 'now')
  expect((await rig.get('/a')).body.text).toBe('now')
  expect(remoteOf(rig).state).toBe('up')
})

test('another program has written what it shares purges by: that is told once, and all else goes on', async () => {
  await redis.command('SADD', 'banyan:purges', 'x')
  const heard: string[] = []
  const rig = await proxyOver(redis.url, undefined, { heard })
  const other = await proxyOver(redis.url, rig)
  await patiently(() => [rig, other].every((one) => remoteOf(one).state === 'up'))
  const looks = remoteOf(rig).errors + 2
  await patiently(() => remoteOf(rig).errors >= looks)
  const told = expect.stringMatching(
    /^banyan:purges in Redis is not a stream.*remove it \(redis-cli DEL "banyan:purges"\)$/,
  )
  expect(heard).toEqual(['up', told])
  expect(remoteOf(rig).state).toBe('up')
  expect(await rig.plane.cache.purge({ what: 'url', url: '/a' }, false)).toMatchObject({ shared: true })
  await patiently(() => other.plane.cache.figures().generation === rig.plane.cache.figures().generation)
  await redis.command('DEL', 'banyan:purges')
  await redis.command('XADD', 'banyan:purges', '*', 'p', earlierPurge('/b'))
  const { generation } = rig.plane.cache.figures()
  await patiently(() => rig.plane.cache.figures().generation > generation)
})

test('purges that it has left are taken in once, however many instances come', async () => {
  for (const url of ['/a', '/b']) await redis.command('XADD', 'banyan:purges', '*', 'p', earlierPurge(url))
  await redis.command('XADD', 'banyan:purges', '*', 'p', '{"target":{"what":"url"},"soft":false,"atMs":1}')
  const first = await instance(() => '')
  const rigs = [first, await instance(() => '', first)]
  await patiently(() => rigs.every((rig) => rig.plane.cache.figures().generation === 2))
  const late = await instance(() => '', first)
  await patiently(() => late.plane.cache.figures().generation === 2)
  // One more, which the log begins with.
  expect(await redis.command('XLEN', 'banyan:{log}')).toBe(':3\r\n')
})

test('what it purges or invalidates while this one runs is gone here', async () => {
  let text = 'old'
  const rig = await instance(() => text)
  const other = await proxyOver(redis.url, rig)
  await patiently(() => remoteOf(other).state === 'up')
  for (const target of ['/purged', '/unheard', '/posted']) await rig.get(target)
  await patiently(() => remoteOf(rig).writes === 3)
  text = 'new'
  const channel = 'banyan:0'
  const id = /\d+-\d+/.exec(await redis.command('XADD', 'banyan:purges', '*', 'p', earlierPurge('/purged')))?.[0]
  await redis.command('PUBLISH', channel, `purge ${id} ${earlierPurge('/purged')}`)
  await redis.command('XADD', 'banyan:purges', '*', 'p', earlierPurge('http://shop.test/unheard'))
  await redis.command('PUBLISH', channel, `forget 00000000-0000-0000-0000-000000000000 ${keyOf('/posted')}`)
  for (const target of ['/purged', '/unheard', '/posted']) {
    await patiently(async () => (await rig.get(target)).body.text === 'new')
    await patiently(async () => (await other.get(target)).body.text === 'new')
  }
})

test('what is purged or invalidated here it reads in its own form, and hears of', async () => {
  const rig = await instance(() => '')
  await rig.plane.cache.purge({ what: 'route', route: 'all', upstream: null }, true)
  await rig.ask('POST', '/posted', 'Content-Length: 0')
  await patiently(async () => (await redis.command('XLEN', 'banyan:purges')) === ':2\r\n')
  const records = await redis.command('XRANGE', 'banyan:purges', '-', '+')
  const purges = [...records.matchAll(/\r\np\r\n\$\d+\r\n(\{.*\})\r\n/g)].map(([, json]) => JSON.parse(json as string))
  expect(purges).toEqual([
    { target: { what: 'route', route: 'all', upstream: null }, soft: true, atMs: expect.any(Number) },
    { target: { what: 'url', url: 'http://shop.test/posted' }, soft: false, atMs: expect.any(Number) },
  ])
  // Which compares bytes: as received, too.
  await rig.ask('POST', '/caf%c3%a9', 'Content-Length: 0')
  await patiently(async () => (await redis.command('XRANGE', 'banyan:purges', '-', '+')).includes('/caf%c3%a9"'))
  await patiently(async () => (await redis.command('XRANGE', 'banyan:purges', '-', '+')).includes('/caf%C3%A9"'))
  await patiently(() => rig.plane.cache.figures().generation === 4)
  // Its own are not taken for those of another one.
  await rig.get('/kept')
  await patiently(() => remoteOf(rig).writes > 0)
  const { generation } = rig.plane.cache.figures()
  await redis.command('PUBLISH', 'banyan:0', 'purge 1-1 {}')
  await rig.plane.cache.purge({ what: 'url', url: '/x' }, false)
  await patiently(() => rig.plane.cache.figures().generation === generation + 1)
  expect(statusOf(await rig.get('/kept'))).toContain('hit')
})
