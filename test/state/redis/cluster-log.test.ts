/**
 * What instances of a cluster tell each other in a real Redis, and what somebody else writes there.
 */
import { afterAll, beforeEach, expect, test } from 'vitest'
import type { ClusterLog, Position, Row } from '../../../src/state/redis/cluster-log.ts'
import { openedLog } from '../../support/cluster-log.ts'
import { startRedis } from '../../support/redis.ts'

const redis = await startRedis()
afterAll(() => redis.stop())
beforeEach(() => redis.command('FLUSHALL'))

const opened = (...secrets: string[]): Promise<ClusterLog> => openedLog(redis.url, ...secrets)

test('what an instance says that it has is not believed where somebody without the secret has written it', async () => {
  const [one, two, other, bare] = (await Promise.all(
    [['a secret of the test'], ['a secret of the test'], ['another secret'], []].map((secrets) => opened(...secrets)),
  )) as [ClusterLog, ClusterLog, ClusterLog, ClusterLog]
  const key = 'banyan:{shop}:offers'
  await one.offer('one', '1 7')
  const { offers, flaw } = await two.offer('two', '1 8')
  expect({ offers: offers.toSorted(), flaw }).toEqual({ offers: ['1 7', '1 8'], flaw: null })
  const [, sealed = ''] = (await redis.command('HGET', key, 'two')).split('\r\n')
  const forgeries: [string, string][] = [
    ['without a MAC', '.9 9'],
    ['without any seal', '9 9'],
    ['nothing', ''],
    ['with a MAC that is none', `${'0'.repeat(64)}.9 9`],
    ['with the MAC of another text', sealed.replace('.1 8', '.9 9')],
    ['with another epoch behind the same MAC', sealed.replace('.1 8', '.1 88')],
    ['as another instance said it', sealed],
    ['cut', sealed.slice(0, -1)],
  ]
  for (const [how, forged] of forgeries) {
    await redis.command('HSET', key, 'forged', forged)
    const { offers, flaw } = await one.offer('one', '1 7')
    expect(offers.toSorted(), how).toEqual(['1 7', '1 8'])
    expect(flaw, how).toMatch(/^the offer of forged in banyan:\{shop\}:offers does not verify: it /)
  }
  await redis.command('DEL', key)
  for (const stranger of [other, bare]) {
    await stranger.offer('stranger', '9 9')
    expect(await one.offer('one', '1 7')).toMatchObject({ offers: ['1 7'], flaw: expect.stringContaining('stranger') })
    // Nor does such an instance believe those that have the secret.
    expect(await stranger.offer('stranger', '9 9')).toMatchObject({
      offers: ['9 9'],
      flaw: expect.stringContaining('one'),
    })
  }
})

test.each([
  ['without an end', []],
  ['that ends in an hour', ['PEXPIRE', 'banyan:{shop}:turn', '3600000']],
])('a turn to edit %s is over after as long as one lasts', async (_, expiry) => {
  const one = await opened()
  const looks: (() => Promise<unknown>)[] = [
    () => one.turn(50),
    async () => ((await one.takeTurn('one', 50, false)) ? null : 'of others'),
  ]
  for (const look of looks) {
    await redis.command('DEL', 'banyan:{shop}:turn')
    await redis.command('HSET', 'banyan:{shop}:turn', 'instance', 'gone', 'strict', '1')
    if (expiry.length > 0) await redis.command(...(expiry as [string, ...string[]]))
    expect(await look()).not.toBeNull()
    await expect.poll(look).toBeNull()
  }
})

const at = (number: number, epoch = 1): Position => ({ id: 'shop', epoch, number, nonce: `n${number}` })
const row = (number: number, sealed = `.text ${number}`): Row => ({ number, sealed })
const rows = (from: number, to: number): Row[] => Array.from({ length: from - to + 1 }, (_, n) => row(from - n))
const sorted = async (log: ClusterLog): Promise<number[]> => (await log.numbers()).toSorted((a, b) => a - b)

test('earlier revisions are added where they are missing, below the first one and between others, and no other is touched', async () => {
  const log = await opened()
  await log.append(null, at(7), '.text 7')
  await log.append(at(7), at(8), '.text 8')
  expect(await log.fill(at(8), [row(5), row(3)])).toBe(true)
  expect(await log.fill(at(8), [row(7, '.other'), ...rows(6, 2)])).toBe(true)
  const { rows: stored } = await log.revisionsBefore(at(9), 1)
  expect(stored).toEqual(rows(8, 2).toReversed())
})

test('nothing is added of another epoch, nor in the place of the newest one or behind it', async () => {
  const log = await opened()
  await log.append(null, at(7, 2), '.text 7')
  expect(await log.fill(at(7, 1), [row(6)])).toBe(false)
  expect(await log.fill({ ...at(7, 2), id: 'other' }, [row(6)])).toBe(false)
  for (const number of [7, 8]) expect(await log.fill(at(9, 2), [row(number, '.other')])).toBe(number === 7)
  expect((await log.revisionsBefore(at(9, 2), 1)).rows).toEqual([row(7)])
})

test('as many earlier revisions are added as Redis keeps, and as many stay when others are made', async () => {
  const log = await opened()
  const all = rows(40, 31).map(({ number }) => row(2 * number))
  await log.append(null, at(82), '.text 82')
  expect(await log.fill(at(82), [...all, row(2)])).toBe(false)
  expect(await sorted(log)).toEqual([64, 66, 68, 70, 72, 74, 76, 78, 80, 82])
  // There is no place between others either.
  expect(await log.fill(at(82), [row(81)])).toBe(false)
  await log.append(at(82), at(83), '.text 83')
  await log.append(at(83), at(84), '.text 84')
  expect(await sorted(log)).toEqual([68, 70, 72, 74, 76, 78, 80, 82, 83, 84])
})

test('earlier revisions are added up to the bytes that Redis keeps', async () => {
  const log = await opened()
  await log.append(null, at(9), '.text 9')
  const large = (number: number): Row => row(number, `.${'x'.repeat(400_000)}`)
  expect(await log.fill(at(9), [large(8), large(7), large(6), row(5)])).toBe(false)
  expect(await sorted(log)).toEqual([7, 8, 9])
  // They are no more when the next one comes.
  await log.append(at(9), at(10), `.${'x'.repeat(400_000)}`)
  expect(await sorted(log)).toEqual([8, 9, 10])
})
