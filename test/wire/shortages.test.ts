/**
 * Connections that do not come about for want of something that this system has no more of: the server is not to blame, and is not asked
 * again and again.
 */
import { expect, onTestFinished, test } from 'vitest'
import type { Dial } from '../../src/wire/client.ts'
import { onlyWithRoom } from '../../src/wire/shortages.ts'
import { ask, exchange, poolFor, setUpPools } from './peer.ts'

const setUp = setUpPools()

/** What node:net is told to connect from: an address that no system has. It fails as with no port left. */
const FROM_NOWHERE = { host: '127.0.0.1', localAddress: '192.0.2.1' } as Dial

const FRESH = { mostIdleMs: 0 }

test('no port left: told at once, what stands is used, and a moment later it goes on', async () => {
  const { peer, pool } = await setUp()
  expect(await exchange(pool)).toMatchObject({ body: 'ok' })
  pool.dial = FROM_NOWHERE
  const seen = await exchange(pool, FRESH)
  expect(seen).toMatchObject({ failure: 'overloaded', cause: { code: 'EADDRNOTAVAIL' }, ends: 1 })
  // In the same turn, so the moment can't be over: though there is a port by now, none is asked for.
  pool.dial = null
  const refused = ask(pool, FRESH)
  const reused = ask(pool)
  await refused.over
  expect(refused).toMatchObject({ failure: 'overloaded', cause: { code: 'EADDRNOTAVAIL' }, ends: 1 })
  await reused.over
  expect(reused).toMatchObject({ body: 'ok', failure: null })
  expect(peer.connections).toHaveLength(1)
  await expect.poll(async () => (await exchange(pool, FRESH)).body).toBe('ok')
  expect(peer.connections).toHaveLength(2)
})

test('an address that this system has no way to: nothing is short where none has ever stood', async () => {
  const pool = poolFor(9)
  pool.dial = FROM_NOWHERE
  expect(await exchange(pool)).toMatchObject({ failure: 'connect', cause: { code: 'EADDRNOTAVAIL' } })
})

test('no descriptor left, beside those that the connections of this turn take', async () => {
  const { pool } = await setUp()
  onTestFinished(() => onlyWithRoom(() => true))
  onlyWithRoom((coming) => coming < 2)
  const all = [ask(pool, FRESH), ask(pool, FRESH), ask(pool, FRESH)]
  await Promise.all(all.map(({ over }) => over))
  expect(all.map(({ failure }) => failure)).toEqual([null, null, 'overloaded'])
  onlyWithRoom(() => true)
  await expect.poll(async () => (await exchange(pool, FRESH)).body).toBe('ok')
})
