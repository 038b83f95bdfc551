/**
 * Progress by day and week, over restarts, edits and a store that fails.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { type EndpointCount, Progress } from '../../../src/control/figures/progress.ts'
import { noneAnswered } from '../../../src/control/figures/route-days.ts'
import type { Reason, Side } from '../../../src/rules/http/exchange.ts'
import { Measurements } from '../../../src/state/figures/measurements.ts'
import { FolderStore } from '../../../src/state/store/folder-store.ts'
import { StateError, type StateStore } from '../../../src/state/store/store.ts'

const DAY_MS = 86_400_000
/** A Wednesday. */
const NOON = Date.UTC(2026, 10, 25, 12)
const NO_ENDPOINTS: EndpointCount = { moved: 1, moving: 0, waiting: 2, ended: 0, unclaimed: 4 }

const left: (() => unknown)[] = []
afterEach(async () => {
  for (const undo of left.splice(0).reverse()) await undo()
})

function stored(nowMs: () => number): StateStore {
  const path = mkdtempSync(join(tmpdir(), 'banyan-progress-'))
  const store = new FolderStore(path, () => null)
  left.push(async () => {
    await store.close()
    rmSync(path, { recursive: true })
  })
  // The age of records and sums is by the clock of the store.
  expect(Math.abs(nowMs() - Date.now())).toBeLessThan(150 * DAY_MS)
  return store
}

function progressAt(now: () => number): Progress {
  return new Progress(() => NO_ENDPOINTS, now)
}

/** So many exchanges on a route, as a plane tells them. */
function count(progress: Progress, routeId: string | null, reason: Reason, side: Side | null, exchanges: number): void {
  const measurements = new Measurements()
  const decision = {
    routeId,
    upstream: side === 'to' ? 'modern' : 'legacy',
    reason,
    bucket: null,
    percent: 0,
    sticky: null,
  }
  const record = { side, status: 200, cache: '-', failure: null, durationMs: 1, retries: 0, fallbackOn: null } as const
  for (let i = 0; i < exchanges; i++) measurements.count({ decision, ...record })
  progress.add(measurements.take(), [])
}

const at = (id: string, percent: number, movesAll = percent === 100) => ({ id, percent, movesAll })

test('who has answered, by route and as a whole', () => {
  const progress = progressAt(() => NOON)
  count(progress, 'a', 'percent', 'to', 5)
  count(progress, 'a', 'no-key', 'from', 2)
  count(progress, 'a', 'fallback', 'to', 1)
  count(progress, 'a', 'unavailable', 'to', 1)
  count(progress, 'a', 'pinned', 'to', 1)
  count(progress, 'a', 'forced', 'from', 3)
  count(progress, 'a', 'forced', 'to', 3)
  count(progress, null, 'default', null, 10)
  count(progress, null, 'ambiguous', null, 1)
  count(progress, null, 'forced', null, 7)
  const days = progress.lastDays(7)
  expect(days.get('a')).toEqual({ to: 6, from: 4, fallback: 2, forced: 3, ended: 0 })
  expect(days.get(null)).toEqual({ ...noneAnswered(), from: 11, forced: 0 })
})

test('a restart keeps the weeks, and since when a route is where it is', async () => {
  let nowMs = NOON - 9 * DAY_MS
  const store = stored(() => nowMs)
  const first = progressAt(() => nowMs)
  first.follow([at('a', 50), at('b', 0)])
  first.keepIn(store)
  await first.ready()
  count(first, 'a', 'rest', 'from', 30)
  await first.save()
  nowMs += DAY_MS
  first.follow([at('a', 100), at('b', 0)])
  count(first, 'a', 'percent', 'to', 10)
  first.add({ routes: [] }, [
    { route: 'a', callers: [{ agent: 'job', network: '-', requests: 2, lastMs: nowMs }], more: 0 },
  ])
  await first.save()

  nowMs = NOON
  const second = progressAt(() => nowMs)
  // Counted before what is stored is known.
  second.follow([at('a', 100), at('b', 10)])
  count(second, 'a', 'percent', 'to', 5)
  second.keepIn(store)
  await second.ready()
  expect(second.standing('a')).toMatchObject({ at: 'all', sinceMs: NOON - 8 * DAY_MS })
  expect(second.standing('b')).toMatchObject({ at: '10', sinceMs: NOON })
  expect(second.lateCallers('a').callers).toEqual([
    { agent: 'job', network: '-', requests: 2, lastMs: NOON - 8 * DAY_MS },
  ])
  expect(second.lastDays(7).get('a')).toMatchObject({ to: 5, from: 0 })
  expect(second.lastDays(30).get('a')).toMatchObject({ to: 15, from: 30 })
  const weeks = await second.history('week')
  expect(weeks).toEqual([
    { atMs: Date.UTC(2026, 10, 16), answered: { ...noneAnswered(), to: 10, from: 30 }, endpoints: NO_ENDPOINTS },
    { atMs: Date.UTC(2026, 10, 23), answered: { ...noneAnswered(), to: 5 }, endpoints: NO_ENDPOINTS },
  ])
  expect((await second.history('day')).map(({ answered }) => [answered.to, answered.from])).toEqual([
    [0, 30],
    [10, 0],
    [5, 0],
  ])
  expect((await second.history('hour')).map(({ atMs }) => new Date(atMs).getUTCHours())).toEqual([12, 12, 12])

  // A route that is gone is forgotten, and one of its name begins anew.
  second.follow([at('b', 10)])
  await second.save()
  nowMs += DAY_MS
  second.follow([at('a', 100), at('b', 10)])
  await second.save()
  const third = progressAt(() => nowMs)
  third.follow([at('a', 100), at('b', 10)])
  third.keepIn(store)
  await third.ready()
  expect(third.standing('a')?.sinceMs).toBe(nowMs)
  expect(third.standing('b')?.sinceMs).toBe(NOON)
  expect(third.lateCallers('a').callers).toEqual([])
})

test('nothing is lost or counted twice while the store fails at any point', async () => {
  let failing: (name: string) => boolean = () => true
  const store = stored(() => NOON)
  const fragile = new Proxy(store, {
    get: (of, name: keyof StateStore) =>
      typeof of[name] === 'function' && name !== 'sums' && name !== 'list' && failing(name)
        ? async () => Promise.reject(new StateError('locked', 'locked by another program'))
        : (of[name] as () => unknown).bind(of),
  })
  const progress = progressAt(() => NOON)
  progress.follow([at('a', 100)])
  progress.keepIn(fragile)
  count(progress, 'a', 'percent', 'to', 5)
  await progress.save()
  expect(progress.problem).toBe('figures of the progress are kept in memory only: locked by another program')
  expect((await progress.history('day'))[0]?.answered.to).toBe(5)
  let calls = 0
  // The first call of a save fails, the second, the second of those that are left, and so on.
  for (const good of [0, 1, 1, 2, 3, 4]) {
    calls = 0
    failing = () => ++calls > good
    await progress.save()
  }
  failing = () => false
  await progress.save()
  expect(progress.problem).toBeNull()
  const again = progressAt(() => NOON)
  again.follow([at('a', 100)])
  again.keepIn(store)
  await again.ready()
  expect(again.lastDays(1).get('a')?.to).toBe(5)
  for (const by of ['hour', 'day', 'week'] as const) expect((await again.history(by))[0]?.answered.to).toBe(5)
})

test('a thousand routes are told apart, and the others are one', async () => {
  const progress = progressAt(() => NOON)
  for (let i = 0; i < 1500; i++) count(progress, `route-${i}`, 'percent', 'to', 1)
  const days = progress.lastDays(1)
  expect(days.size).toBe(1002)
  expect([...days.values()].reduce((sum, { to }) => sum + to, 0)).toBe(1500)
})
