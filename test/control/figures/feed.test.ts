/**
 * The stream of what moves: a revision is told as it comes, not with the next second.
 */
import { expect, onTestFinished, test, vi } from 'vitest'
import type { LiveFigures, LiveRamp } from '../../../src/answers/live.ts'
import { Feed } from '../../../src/control/figures/feed.ts'
import { lastMinute } from '../../../src/control/figures/live.ts'
import { Planes } from '../../../src/control/figures/planes.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import type { Table } from '../../../src/rules/table/table.ts'
import { LiveTable } from '../../../src/state/live-table.ts'
import { TABLE } from '../rig.ts'

function tableOf(text: string): Table {
  const read = readTable(text, 'routes.yaml')
  if (!read.ok) throw new Error('the table is invalid')
  return read.table
}

test('a revision is told as soon as it is in force, one that comes during a look too', async () => {
  // No second passes in this test.
  vi.useFakeTimers({ toFake: ['setInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const live = new LiveTable(tableOf(TABLE), TABLE, 1000)
  const feed = new Feed({ live, planes: new Planes(), ramps: () => new Map(), now: () => 2000 })
  const stream = feed.watch()
  if (stream === null) throw new Error('no stream')
  onTestFinished(() => void stream.destroy())
  const told: number[] = []
  let hear = (): void => {}
  stream.on('data', (line: Buffer) => {
    told.push(JSON.parse(String(line)).revision)
    hear()
  })
  // Not expect.poll, which moves such a clock on.
  const until = async (revision: number): Promise<void> => {
    while (told.at(-1) !== revision) {
      await new Promise<void>((resolve) => {
        hear = resolve
      })
    }
  }
  await until(1)
  live.apply(tableOf(TABLE), TABLE, 3000)
  live.apply(tableOf(TABLE), TABLE, 3001)
  await until(3)
})

test('a line tells of the routes that have changed, and of each route what has no requests', async () => {
  vi.useFakeTimers({ toFake: ['setInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const live = new LiveTable(tableOf(TABLE), TABLE, 1000)
  const ramps = new Map<string, LiveRamp>()
  const planes = new Planes()
  const feed = new Feed({ live, planes, ramps: () => ramps, now: () => 2000 })
  const stream = feed.watch()
  if (stream === null) throw new Error('no stream')
  onTestFinished(() => void stream.destroy())
  const lines = stream[Symbol.asyncIterator]()
  const next = async (): Promise<{ routes: Record<string, LiveFigures>; table?: unknown[] }> =>
    JSON.parse(String((await lines.next()).value))
  const ids = live.current.table.routes.map(({ id }) => id)
  const first = await next()
  expect([Object.keys(first.routes), first.table?.length]).toEqual([ids, ids.length])
  const idle = first.routes.search
  const { exchanges, errorRatio } = lastMinute(
    (await planes.figures()).measurements,
    live.current.table.routes[1] ?? null,
    0,
  )
  expect(idle).toMatchObject({ exchanges, errorRatio, actualPercent: null, noKeyPercent: null, sides: {} })
  const ramp: LiveRamp = { status: 'running', step: 5, steps: [5, 50], why: null }
  ramps.set('search', ramp)
  vi.advanceTimersByTime(1000)
  expect(await next()).toMatchObject({ routes: { search: { ...idle, ramp } } })
  ramps.clear()
  vi.advanceTimersByTime(1000)
  expect((await next()).routes).toEqual({ search: idle })
})
