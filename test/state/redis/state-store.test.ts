/**
 * The state in a real Redis, of two instances.
 */
import { afterAll, expect, test } from 'vitest'
import type { LinkOptions } from '../../../src/state/redis/link.ts'
import { RedisStateStore } from '../../../src/state/redis/state-store.ts'
import type { StateError } from '../../../src/state/store/store.ts'
import { connectedLink } from '../../support/cluster-log.ts'
import { commandOf, startRedis } from '../../support/redis.ts'
import { describesStateStore, KEPT_MESSAGES } from '../store/contract.ts'

const redis = await startRedis()
afterAll(() => redis.stop())

/** A store that is connected. */
async function opened(cluster: string, options: Partial<LinkOptions> = {}): Promise<RedisStateStore> {
  return new RedisStateStore(await connectedLink(cluster, redis.url, options), KEPT_MESSAGES)
}

let clusters = 0
describesStateStore(async () => {
  const name = `c${clusters++}`
  const [store, other] = await Promise.all([opened(name), opened(name)])
  return { store, other, close: async () => void (await Promise.all([store.close(), other.close()])) }
})

test('two clusters in one Redis never meet', async () => {
  const [one, two] = await Promise.all([opened('one'), opened('two')])
  let heard = 0
  two.onMessage('t', () => heard++)
  await one.write('a', 'g', 'k', '1')
  await one.add('s', [{ group: 'g', key: '', hour: 1, counts: { n: 1 } }])
  await one.acquire('lease', 'one', 60_000)
  await one.publish('t', 'x')
  expect(await two.list('a')).toEqual([])
  expect(await two.sums('s')).toEqual([])
  expect(await two.acquire('lease', 'two', 60_000)).toMatchObject({ holder: 'two', token: 1 })
  expect(await two.position('t')).toBe(0)
  await two.publish('t', 'y')
  await expect.poll(() => heard).toBe(1)
  await Promise.all([one.close(), two.close()])
})

test('a Redis that is away is an error, and what it has is there when it is back', async () => {
  const store = await opened('away')
  await store.write('a', 'g', 'k', '1')
  redis.pause()
  const failed = store.write('a', 'g', 'k', '2').then(
    () => 'none',
    (error: StateError) => error.fault,
  )
  expect(await failed).toBe('failed')
  redis.resume()
  await expect
    .poll(
      () =>
        store.read('a', 'g', 'k').then(
          (record) => record?.group,
          () => null,
        ),
      { timeout: 120_000 },
    )
    .toBe('g')
  await store.close()
  expect(await store.read('a', 'g', 'k').catch(({ fault }: StateError) => fault)).toBe('closed')
})

test('an addition whose reply is lost counts once', async () => {
  const store = await opened('once')
  const sum = { group: 'g', key: '', hour: 1, counts: { n: 1 } }
  redis.pause()
  const adding = store.add('s', [sum], [{ group: 'g', key: 'k', value: '1' }]).catch(() => {})
  // Two attempts are on their way: none was answered in time.
  await new Promise((done) => setTimeout(done, 6_000))
  redis.resume()
  await adding
  await expect.poll(() => store.sums('s').catch(() => null), { timeout: 120_000 }).toEqual([sum])
  expect(await store.list('s')).toMatchObject([{ key: 'k', version: 1 }])
  await store.close()
})

test('an addition that failed and is sent again later counts once', async () => {
  const store = await opened('again')
  const sum = { group: 'g', key: '', hour: 1, counts: { n: 1 } }
  for (const id of ['x', 'x', 'y']) await store.add('s', [sum], [], {}, id)
  expect(await store.sums('s')).toEqual([{ ...sum, counts: { n: 2 } }])
  await store.close()
})

test('what others have written there is not read as a record', async () => {
  const store = await opened('garbage')
  await store.write('a', 'g', 'k', '1')
  for (const [field, value] of [
    ['x', 'y'],
    ['1:g1:z', '[]'],
    ['1:g1:y', '{"a":1}'],
    ['9:g', '[1,2,"3",4]'],
  ] as const) {
    await commandOf(redis.port, 'HSET', 'banyan:{garbage}:records:a', field, value)
  }
  await commandOf(redis.port, 'HSET', 'banyan:{garbage}:sums:s:7', 'x', 'y', '1:g0:1:n', 'NaN')
  await commandOf(redis.port, 'ZADD', 'banyan:{garbage}:hours:s', '7', '7')
  expect(await store.list('a')).toMatchObject([{ group: 'g', key: 'k', version: 1, value: '1' }])
  expect(await store.write('a', 'g', 'z', '2', { expected: 0 })).toMatchObject({ kind: 'changed', record: null })
  expect(await store.write('a', 'g', 'z', '2')).toEqual({ kind: 'done', version: 1 })
  expect((await store.sums('s')).flatMap(({ counts }) => Object.keys(counts))).toEqual([])
  await store.close()
})

/** All that is there, as one text. */
const ALL = `
local keys = redis.call('KEYS', '*')
table.sort(keys)
for at, key in ipairs(keys) do keys[at] = key .. ' ' .. redis.sha1hex(redis.call('DUMP', key)) end
return table.concat(keys, ';')
`

test('a key of another type is named, with what to do, and nothing is written', async () => {
  const name = 'foreign'
  const told: string[] = []
  const store = await opened(name, { onForeign: (message) => told.push(message) })
  const key = (own: string): string => `banyan:{${name}}:${own}`
  const add = (): Promise<unknown> =>
    store.add('s', [{ group: 'g', key: '', hour: 7, counts: { n: 1 } }], [{ group: 'g', key: 'k', value: '2' }])
  const write = (): Promise<unknown> => store.write('s', 'g', 'k', '2')
  const remove = (): Promise<unknown> => store.write('s', 'g', 'k', null)
  const forget = (): Promise<unknown> => store.forget('s', 'g')
  const acquire = (): Promise<unknown> => store.acquire('l', 'one', 1_000)
  const publish = (): Promise<unknown> => store.publish('pins', 'x')
  const rows: [string, string, Record<string, () => Promise<unknown>>][] = [
    ['records:s', 'hash', { write, remove, add, forget, read: () => store.read('s', 'g', 'k') }],
    ['order:s', 'zset', { write, remove, add, forget }],
    ['orders:s', 'string', { write, remove, add }],
    ['hours:s', 'zset', { add, forget, sums: () => store.sums('s') }],
    ['sums:s:7', 'hash', { add, forget, sums: () => store.sums('s') }],
    ['lease:l', 'hash', { acquire }],
    ['topic:pins', 'stream', { publish, messages: () => store.messages('pins', 0) }],
  ]
  for (const [own, kind, uses] of rows) {
    await redis.command('FLUSHALL')
    for (const use of [write, add, acquire, publish]) await use()
    await redis.command('DEL', key(own))
    await redis.command('SADD', key(own), 'x')
    const before = await redis.command('EVAL', ALL, '0')
    for (const [what, use] of Object.entries(uses)) {
      const error = await use().then(
        () => null,
        (error: StateError) => error,
      )
      expect(error?.fault, `${what} with ${own}`).toBe('corrupt')
      expect(error?.message, `${what} with ${own}`).toContain(
        `${key(own)} in its Redis is a set, where banyan has a ${kind}: another program has written it; remove it (redis-cli DEL "${key(own)}")`,
      )
      expect(await redis.command('EVAL', ALL, '0'), `${what} with ${own}`).toBe(before)
    }
    expect(told).toEqual([expect.stringContaining(key(own))])
    await redis.command('DEL', key(own))
    for (const use of Object.values(uses)) await use()
    // Whoever has removed it need not wait until it is used again.
    await expect.poll(() => told.splice(0).at(-1)).toBe('')
  }
  await store.close()
})

test('a record that is not sealed with the secret, or lies under another key, is none', async () => {
  const [sealed, rotated, next, other, bare] = await Promise.all([
    opened('sealed', { secrets: ['a secret of the test'] }),
    opened('sealed', { secrets: ['the next secret of the test', 'a secret of the test'] }),
    opened('sealed', { secrets: ['the next secret of the test'] }),
    opened('sealed', { secrets: ['another secret of the test'] }),
    opened('sealed'),
  ])
  await sealed.write('a', 'g', 'k', '1')
  expect(await sealed.read('a', 'g', 'k')).toMatchObject({ value: '1' })
  expect([await other.read('a', 'g', 'k'), await bare.read('a', 'g', 'k')]).toEqual([null, null])
  await bare.write('a', 'g', 'forged', '2')
  const record = (await commandOf(redis.port, 'HGET', 'banyan:{sealed}:records:a', '1:g1:k')).split('\r\n')[1] as string
  expect(record).toContain('1')
  await commandOf(redis.port, 'HSET', 'banyan:{sealed}:records:a', '1:g1:x', record)
  expect((await sealed.list('a')).map(({ key }) => key)).toEqual(['k'])
  expect(await next.read('a', 'g', 'k')).toBe(null)
  expect(await rotated.read('a', 'g', 'k')).toMatchObject({ value: '1' })
  // It is sealed anew where it is read.
  await expect.poll(() => next.read('a', 'g', 'k')).toMatchObject({ value: '1', version: 1 })
  expect(await next.write('a', 'g', 'forged', '3', { expected: 0 })).toEqual({ kind: 'done', version: 2 })
  await Promise.all([sealed, rotated, next, other, bare].map((store) => store.close()))
})
