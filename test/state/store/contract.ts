/**
 * What every implementation of the state does, whoever keeps it.
 */
import { expect, test } from 'vitest'
import { hourOf, type StateStore } from '../../../src/state/store/store.ts'

/** A store of the test's own, empty. */
export interface Kept {
  readonly store: StateStore
  /** Another instance of it, where several can be on one state; else the same. */
  readonly other: StateStore
  close(): Promise<void>
}

/** Messages that the stores of the tests keep of a topic. */
export const KEPT_MESSAGES = 20

/** @param open each time another state, with `KEPT_MESSAGES` */
export function describesStateStore(open: () => Promise<Kept>): void {
  const kept = (work: (kept: Kept) => Promise<void>) => async () => {
    const one = await open()
    try {
      await work(one)
    } finally {
      await one.close()
    }
  }

  test(
    'a record is written where it has the expected version',
    kept(async ({ store, other }) => {
      expect(await store.read('a', 'g', 'k')).toBeNull()
      expect(await store.write('a', 'g', 'k', '{"n":1}', { expected: 0 })).toEqual({ kind: 'done', version: 1 })
      const refused = await other.write('a', 'g', 'k', '{"n":2}', { expected: 0 })
      expect(refused).toMatchObject({ kind: 'changed', record: { version: 1, value: '{"n":1}' } })
      expect(await other.write('a', 'g', 'k', '{"n":2}', { expected: 1 })).toEqual({ kind: 'done', version: 2 })
      expect(await store.write('a', 'g', 'k', null, { expected: 1 })).toMatchObject({ kind: 'changed' })
      expect(await store.write('a', 'g', 'k', null, { expected: 2 })).toEqual({ kind: 'done', version: 0 })
      expect(await other.read('a', 'g', 'k')).toBeNull()
    }),
  )

  test(
    'of many that write at once for one version, one does',
    kept(async ({ store, other }) => {
      const all = Array.from({ length: 20 }, (_, n) =>
        (n % 2 === 0 ? store : other).write('a', 'g', 'k', String(n), { expected: 0 }),
      )
      const done = (await Promise.all(all)).filter(({ kind }) => kind === 'done')
      expect(done).toHaveLength(1)
    }),
  )

  test(
    'spaces, groups and keys are apart, whatever is in their names',
    kept(async ({ store }) => {
      const names = ['', 'a', 'a b', 'a\u0000b', 'b', 'ż', '*', 'a:b', '{a}']
      for (const group of names) for (const key of names) await store.write('a', group, key, `"${group}|${key}"`)
      await store.write('b', 'a', 'a', '"other space"')
      const records = await store.list('a')
      expect(new Set(records.map(({ group, key }) => JSON.stringify([group, key]))).size).toBe(names.length ** 2)
      for (const { group, key, value } of records) expect(value).toBe(`"${group}|${key}"`)
      await store.forget('a', 'a')
      expect((await store.list('a')).some(({ group }) => group === 'a')).toBe(false)
      expect(await store.list('a')).toHaveLength(names.length * (names.length - 1))
      expect(await store.list('b')).toHaveLength(1)
    }),
  )

  test(
    'sums are added to, by hour, group and key, with records beside them',
    kept(async ({ store, other }) => {
      const hour = hourOf(Date.now())
      const sum = (counts: Record<string, number>, at = hour, group = 'r', key = 'p') => ({
        ...{ group, key, hour: at, counts },
      })
      await store.add('s', [sum({ a: 1, b: 2 }), sum({ a: 5 }, hour - 1)], [{ group: 'r', key: 'x', value: '1' }])
      await other.add('s', [sum({ a: 2, 'c.d': 1 }), sum({ a: 7 }, hour, 'q')])
      expect(await store.sums('s', hour, 'r')).toEqual([sum({ a: 3, b: 2, 'c.d': 1 })])
      const all = await other.sums('s')
      expect(all[0]).toEqual(sum({ a: 5 }, hour - 1))
      expect(all).toHaveLength(3)
      const totals = await store.totals('s', { sinceHour: 0 })
      expect(totals).toHaveLength(2)
      expect(totals).toContainEqual(sum({ a: 8, b: 2, 'c.d': 1 }, hour - 1))
      expect(await store.totals('s', { sinceHour: 0, untilHour: hour })).toEqual([sum({ a: 5 }, hour - 1)])
      expect(await store.totals('s', { sinceHour: hour, group: 'r' })).toEqual([sum({ a: 3, b: 2, 'c.d': 1 })])
      expect(await other.read('s', 'r', 'x')).toMatchObject({ value: '1', version: 1 })
      await store.forget('s', 'r')
      expect(await other.sums('s')).toEqual([sum({ a: 7 }, hour, 'q')])
      expect(await other.read('s', 'r', 'x')).toBeNull()
    }),
  )

  test(
    'what is added at once by several is all counted',
    kept(async ({ store, other }) => {
      const hour = hourOf(Date.now())
      const sum = { group: 'r', key: '', hour, counts: { n: 1 } }
      await Promise.all(Array.from({ length: 50 }, (_, n) => (n % 2 === 0 ? store : other).add('s', [sum])))
      expect(await store.sums('s')).toEqual([{ ...sum, counts: { n: 50 } }])
    }),
  )

  test(
    'a space is kept within its bounds: the newest records, and the last hours',
    kept(async ({ store }) => {
      const hour = hourOf(Date.now())
      const old = { group: 'r', key: '', hour: hour - 10, counts: { n: 1 } }
      await store.add('s', [old, { ...old, hour }])
      for (let n = 0; n < 5; n++) await store.add('s', [], [{ group: 'r', key: String(n), value: '0' }])
      await store.add('s', [], [{ group: 'r', key: 'last', value: '0' }], { records: 3, hours: 5 })
      const [first, ...others] = await store.list('s')
      const removed = { group: 'r', key: first?.key ?? '', value: null }
      await store.add('s', [], [removed, { group: 'r', key: 'none', value: null }])
      expect((await store.list('s')).map(({ key }) => key)).toEqual(others.map(({ key }) => key))
      await store.add(
        's',
        [],
        [
          { ...removed, value: '0' },
          { group: 'r', key: 'last', value: '1' },
        ],
      )
      expect((await store.sums('s')).map((sum) => sum.hour)).toEqual([hour])
      expect(await store.list('s')).toHaveLength(3)
      expect((await store.list('s')).at(-1)?.key).toBe('last')
    }),
  )

  test(
    'a lease has one holder, and what an earlier holder still writes is refused',
    kept(async ({ store, other }) => {
      const first = await store.acquire('ramps', 'one', 60_000)
      expect(first).toMatchObject({ holder: 'one', token: 1 })
      expect(await other.acquire('ramps', 'two', 60_000)).toMatchObject({ holder: 'one', token: 1 })
      expect(await store.acquire('ramps', 'one', 60_000)).toMatchObject({ holder: 'one', token: 1 })
      expect(await store.write('a', 'g', 'k', '1', { fence: first })).toMatchObject({ kind: 'done' })
      await store.release(first)
      const second = await other.acquire('ramps', 'two', 60_000)
      expect(second).toMatchObject({ holder: 'two', token: 2 })
      expect(await store.write('a', 'g', 'k', '2', { fence: first })).toEqual({ kind: 'fenced' })
      // Late, and no longer its own.
      await store.release(first)
      expect(await store.acquire('ramps', 'one', 60_000)).toMatchObject({ holder: 'two' })
      expect(await other.write('a', 'g', 'k', '3', { fence: second })).toMatchObject({ kind: 'done' })
    }),
  )

  test(
    'a lease that is not renewed ends, and the next holder has a greater token',
    kept(async ({ store, other }) => {
      const first = await store.acquire('ramps', 'one', 1)
      await expect.poll(async () => (await other.acquire('ramps', 'two', 60_000)).holder).toBe('two')
      expect(await store.write('a', 'g', 'k', '1', { fence: first })).toEqual({ kind: 'fenced' })
    }),
  )

  test(
    'messages are numbered without a hole, and a follower that is too late is told',
    kept(async ({ store, other }) => {
      expect(await store.position('t')).toBe(0)
      let heard = 0
      const end = other.onMessage('t', () => heard++)
      const positions = await Promise.all(['a', 'b', 'c'].map((text) => store.publish('t', text)))
      expect(positions.toSorted((a, b) => a - b)).toEqual([1, 2, 3])
      expect(await store.publish('other', 'x')).toBe(1)
      await expect.poll(() => heard).toBeGreaterThan(0)
      end()
      const { messages, isGap } = await other.messages('t', 1)
      expect(isGap).toBe(false)
      expect(messages.map(({ position }) => position)).toEqual([2, 3])
      expect((await store.messages('t', 3)).messages).toEqual([])
      for (let n = 4; n <= 30; n++) await store.publish('t', String(n))
      const late = await store.messages('t', 3)
      expect(late.isGap).toBe(true)
      expect(late.messages.at(-1)).toEqual({ position: 30, text: '30' })
      expect(await store.position('t')).toBe(30)
      expect((await store.messages('t', 31)).isGap).toBe(true)
    }),
  )
}
