/**
 * What instances of a cluster tell each other in a real Redis, and what somebody else writes there.
 */
import { afterAll, expect, test } from 'vitest'
import type { ClusterLog } from '../../../src/state/redis/cluster-log.ts'
import { openedLog } from '../../support/cluster-log.ts'
import { startRedis } from '../../support/redis.ts'

const redis = await startRedis()
afterAll(() => redis.stop())

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
    expect(flaw, how).toMatch(/^what forged says in banyan:\{shop\}:offers does not verify: it /)
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
