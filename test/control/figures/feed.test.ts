/**
 * The stream of what moves: a revision is told as it comes, not with the next second.
 */
import { expect, onTestFinished, test, vi } from 'vitest'
import type { LiveFigures, LiveLine, LiveRamp, LiveRow } from '../../../src/answers/live.ts'
import { Feed } from '../../../src/control/figures/feed.ts'
import { lastMinute } from '../../../src/control/figures/live.ts'
import { Planes } from '../../../src/control/figures/planes.ts'
import { withRoutesSteps } from '../../../src/rules/language/compile.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import type { Table } from '../../../src/rules/table/table.ts'
import { allOf } from '../../../src/rules/values/steps.ts'
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

test('a revision is told by the routes that it has changed, and much of a table as a whole', async () => {
  vi.useFakeTimers({ toFake: ['setInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const ids = (count: number): number[] => Array.from({ length: count }, (_, at) => at)
  const textOf = (routes: readonly (readonly [string | number, number])[]): string =>
    `version: 1\nupstreams: { main: { servers: [http://a] }, new: { servers: [http://b] } }\ndefault: main\nroutes:\n${routes
      .map(([id, percent]) => `  - { id: r${id}, match: { path: /p${id} }, to: new, percent: ${percent} }\n`)
      .join('')}`
  const start = ids(100).map((at) => [at, 5] as const)
  const live = new LiveTable(tableOf(textOf(start)), textOf(start), 1000)
  const ramps = new Map<string, LiveRamp>([['r7', { status: 'running', step: 5, steps: [5, 50], why: null }]])
  const feed = new Feed({ live, planes: new Planes(), ramps: () => ramps, now: () => 2000 })
  const stream = feed.watch()
  if (stream === null) throw new Error('no stream')
  onTestFinished(() => void stream.destroy())
  const lines = stream[Symbol.asyncIterator]()
  let rows: readonly LiveRow[] = []
  const next = async (): Promise<LiveLine> => {
    const line = JSON.parse(String((await lines.next()).value)) as LiveLine
    rows = line.table ?? rows
    for (const { at, gone, come } of line.changed ?? []) {
      rows = rows.toSpliced(at, gone, ...come)
      expect(Object.keys(line.routes)).toEqual(expect.arrayContaining(come.map(({ id }) => id)))
    }
    expect(rows.map(({ id, percent }) => [id, percent])).toEqual(
      live.current.table.routes.map(({ id, percent }) => [id, percent]),
    )
    return line
  }
  const edit = async (routes: readonly (readonly [string | number, number])[]): Promise<LiveLine> => {
    const document = { text: textOf(routes), known: live.current.table }
    const read = readTable(document.text, 'routes.yaml')
    if (!read.ok) throw new Error('the table is invalid')
    const splices = [{ at: 0, gone: document.known.routes.length, come: read.table.routes.map((one) => one.document) }]
    live.apply(allOf(withRoutesSteps(document.known, splices)), document.text, 3000)
    return await next()
  }
  expect((await next()).table).toHaveLength(100)
  const moved = start.map(([at]) => [at, at === 3 || at === 70 ? 50 : 5] as const)
  const told = await edit(moved)
  expect([told.table, told.changed?.map(({ at, gone }) => [at, gone])]).toEqual([
    undefined,
    [
      [70, 1],
      [3, 1],
    ],
  ])
  expect(Object.keys(told.routes).sort()).toEqual(['r3', 'r70'])
  const less = await edit(moved.filter(([at]) => at !== 7))
  expect([less.changed, Object.keys(less.routes)]).toEqual([[{ at: 7, gone: 1, come: [] }], []])
  const more = await edit([...moved, ['new', 1]])
  expect([more.table?.length, more.changed]).toEqual([101, undefined])
  // Only the text is another.
  live.apply(live.current.table, `${live.current.text}#\n`, 3001)
  expect(await next()).toMatchObject({ revision: 5, routes: {} })
  const all = await edit(ids(100).map((at) => [at, 99] as const))
  expect([all.table?.length, all.changed]).toEqual([100, undefined])
})
