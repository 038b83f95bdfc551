/**
 * The history: numbers and tags that survive restarts, an edit that died in its middle, bounds, and disks that refuse.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { History } from '../../../src/control/table/history.ts'
import type { HistoryBounds } from '../../../src/control/table/history-bounds.ts'
import { type RevisionRecord, runOf } from '../../../src/control/table/revision-record.ts'
import { etagOf } from '../../../src/state/live-table.ts'
import { folderOf } from '../../../src/state/store/state-folder.ts'
import { folder } from '../rig.ts'

let home: Awaited<ReturnType<typeof folder>>
let path: string

beforeEach(async () => {
  home = await folder()
  path = join(home.path, 'routes.yaml')
})
afterEach(() => home.remove())

const recordOf = (number: number, text: string, author = 'anna'): RevisionRecord => ({
  number,
  etag: etagOf(number, text),
  atMs: number * 1000,
  author,
  reason: `reason ${number}`,
  forced: false,
  summary: null,
  run: number,
})

/** A history whose process has made these texts in order, by the API. */
async function made(texts: readonly string[], bounds?: HistoryBounds): Promise<History> {
  const history = new History(folderOf(path), bounds)
  const { number } = history.start(texts[0] as string, 0)
  for (const [at, text] of texts.slice(1).entries()) await history.add(recordOf(number + 1 + at, text), text)
  return history
}

const files = async () => (await readdir(join(home.path, '.banyan/routes.yaml'))).sort()

test('a restart on the same text is the same revision, with the same tag, author and reason', async () => {
  await made(['one\n', 'two\n'])
  const again = new History(folderOf(path))
  expect(again.start('two\n', 9000)).toEqual(recordOf(2, 'two\n'))
  expect(again.list().map(({ number }) => number)).toEqual([2, 1])
  expect(await again.textOf(1)).toBe('one\n')
  expect(again.find(etagOf(1, 'one\n'))?.number).toBe(1)
})

test('an edit of the file while nobody ran is the next revision, by the file', async () => {
  await made(['one\n', 'two\n'])
  const again = new History(folderOf(path))
  expect(again.start('one\n', 9000)).toMatchObject({ number: 3, author: 'file', atMs: 9000 })
  expect(await again.textOf(3)).toBe('one\n')
})

test('an edit that died after the table was replaced keeps its number, author and reason', async () => {
  const history = await made(['one\n'])
  await history.prepare(recordOf(2, 'two\n'), 'two\n')
  const again = new History(folderOf(path))
  expect(again.start('two\n', 9000)).toEqual(recordOf(2, 'two\n'))
  expect(await files()).toEqual(['1.yaml', '2.yaml'])
})

test('an edit that died before the table was replaced has never been', async () => {
  const history = await made(['one\n'])
  await history.prepare(recordOf(2, 'two\n'), 'two\n')
  const again = new History(folderOf(path))
  expect(again.start('one\n', 9000)).toMatchObject({ number: 1 })
  expect(await files()).toEqual(['1.yaml'])
  await again.add(recordOf(2, 'three\n'), 'three\n')
  expect(await again.textOf(2)).toBe('three\n')
})

test('half a record is no record', async () => {
  await made(['one\n'])
  const dir = join(home.path, '.banyan/routes.yaml')
  for (const [name, text] of [
    ['pending.yaml', '# banyan {"number":2,'],
    ['2.yaml', ''],
    ['3.yaml', '# banyan null\nx'],
    ['4.yaml', '# banyan {"number":5,"etag":"x","atMs":0}\nx'],
    ['5.yaml', `# banyan ${JSON.stringify(recordOf(5, 'five\nsix\n'))}\nfive\n`],
    ['x.yaml', 'x'],
  ] as const) {
    await writeFile(join(dir, name), text)
  }
  const again = new History(folderOf(path))
  expect(again.start('one\n', 9000)).toMatchObject({ number: 1 })
  expect(again.list()).toHaveLength(1)
})

test('the number of revisions is bounded, the oldest go first, on disk too', async () => {
  const texts = Array.from({ length: 10 }, (_, at) => `text ${at}\n`)
  const history = await made(texts, { revisions: 3, bytes: 1_000_000 })
  expect(history.list().map(({ number }) => number)).toEqual([10, 9, 8])
  expect(await history.textOf(7)).toBeNull()
  const next = new History(folderOf(path), { revisions: 3, bytes: 1_000_000 })
  expect(next.start(texts[9] as string, 0).number).toBe(10)
})

test('the bytes of all texts are bounded, but the last two always stay', async () => {
  const texts = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(1000))
  const history = await made(texts, { revisions: 100, bytes: 1500 })
  expect(history.list().map(({ number }) => number)).toEqual([4, 3])
})

test('two tables in one folder have a history each', async () => {
  await made(['one\n'])
  new History(folderOf(join(home.path, 'other.yaml'))).start('other\n', 0)
  expect((await readdir(join(home.path, '.banyan'))).sort()).toEqual(['.gitignore', 'other.yaml', 'routes.yaml'])
  expect(await readFile(join(home.path, '.banyan/.gitignore'), 'utf8')).toBe('*\n')
})

test('a folder that can not be made is said, and revisions live on in memory', async () => {
  await writeFile(join(home.path, '.banyan'), 'a file')
  const history = await made(['one\n', 'two\n'])
  expect(history.problem).toMatch(/^revisions are not stored on disk: /)
  expect(await history.textOf(1)).toBe('one\n')
  expect(await history.textOf(2)).toBe('two\n')
  await rm(join(home.path, '.banyan'))
  await history.add(recordOf(3, 'three\n'), 'three\n')
  expect(history.problem).toBeNull()
  // What memory kept meanwhile is on disk now, too.
  expect(await files()).toEqual(['1.yaml', '2.yaml', '3.yaml'])
  expect(new History(folderOf(path)).start('three\n', 9000)).toEqual(recordOf(3, 'three\n'))
})

test('a text that can not be read any more is none, and listed no longer', async () => {
  const history = await made(['one\n', 'two\n', 'three\n'])
  const file = join(home.path, '.banyan/routes.yaml/1.yaml')
  await rm(file)
  await mkdir(file)
  expect(await history.textOf(1)).toBeNull()
  expect(history.list().map(({ number }) => number)).toEqual([3, 2])
})

test('a folder that vanishes takes the older revisions with it, and neither the last two nor the next', async () => {
  const history = await made(['one\n', 'two\n', 'three\n'])
  await rm(join(home.path, '.banyan'), { recursive: true })
  expect(await history.textOf(3)).toBe('three\n')
  await history.add(recordOf(4, 'four\n'), 'four\n')
  expect(history.list().map(({ number }) => number)).toEqual([4, 3, 2])
  expect(await Promise.all([1, 2, 3, 4].map((number) => history.textOf(number)))).toEqual([
    null,
    'two\n',
    'three\n',
    'four\n',
  ])
  expect(await files()).toEqual(['2.yaml', '3.yaml', '4.yaml'])
  expect(history.problem).toBeNull()
})

test('what a forced revision was written over is kept in memory until the disk takes it', async () => {
  await writeFile(join(home.path, '.banyan'), 'a file')
  const history = await made(['one\n'])
  const forced = { ...recordOf(2, 'two\n'), forced: true }
  await history.prepare(forced, 'two\n', Buffer.from('broken'))
  await history.commit(forced, 'two\n')
  expect(String(await history.overwritten(2))).toBe('broken')
  await rm(join(home.path, '.banyan'))
  for (const number of [3, 4, 5]) await history.add(recordOf(number, `${number}\n`), `${number}\n`)
  expect(String(await history.overwritten(2))).toBe('broken')
  expect(await files()).toContain('2.overwritten')
  const again = new History(folderOf(path))
  again.start('5\n', 0)
  expect(String(await again.overwritten(2))).toBe('broken')
})

test('a forced edit that did not come about leaves nothing', async () => {
  const history = await made(['one\n'])
  const forced = { ...recordOf(2, 'two\n'), forced: true }
  await history.prepare(forced, 'two\n', Buffer.from('broken'))
  await history.abandon(forced)
  expect(await files()).toEqual(['1.yaml'])
})

test('without a file it keeps all in memory', async () => {
  const history = new History(null, { revisions: 2, bytes: 100 })
  expect(history.start('one\n', 5)).toMatchObject({ number: 1, atMs: 5 })
  await history.add(recordOf(2, 'two\n'), 'two\n')
  await history.add(recordOf(3, 'three\n'), 'three\n')
  expect(history.list().map(({ number }) => number)).toEqual([3, 2])
  expect(await history.textOf(2)).toBe('two\n')
  expect(history.problem).toBeNull()
  expect(await readdir(home.path)).toEqual([])
})

/** A step of an author on a route. */
function step(number: number, route: string, author: string, previous?: RevisionRecord): RevisionRecord {
  const keys = [{ key: 'percent', before: `${number - 1}`, after: `${number}` }]
  const summary = { changes: [{ what: 'route' as const, name: route, change: 'changed' as const, keys }], more: 0 }
  const record = { ...recordOf(number, `text ${number}\n`, author), summary }
  return { ...record, run: runOf(record, previous) }
}

/** A history of the file's first revision and steps by these authors, of these routes. */
async function stepped(steps: readonly (readonly [author: string, route: string])[], bounds: HistoryBounds) {
  const history = new History(folderOf(path), bounds)
  history.start('text 1\n', 0)
  for (const [at, [author, route]] of steps.entries()) {
    const number = at + 2
    await history.add(step(number, route, author, history.get(number - 1)), `text ${number}\n`)
  }
  return history
}

test('a ramp of 260 steps pushes nothing but its own steps out of the history', async () => {
  const ramp = Array.from({ length: 260 }, () => ['ramp', 'gtin'] as const)
  const steps = [['anna', 'gtin'], ['bob', 'search'], ...ramp, ['anna', 'search']] as const
  const bounds = { revisions: 20, bytes: 1_000_000 }
  const history = await stepped(steps, bounds)
  const numbers = history.list().map(({ number }) => number)
  expect(numbers).toHaveLength(20)
  expect(numbers.slice(-3)).toEqual([3, 2, 1])
  expect(numbers.slice(0, 3)).toEqual([264, 263, 262])
  // What the first of its steps that is left was made of is the revision before the ramp.
  const first = numbers.at(-4) as number
  expect(history.get(first)?.run).toBe(4)
  expect(history.numberBefore(first)).toBe(3)
  expect(await history.textBefore(first)).toBe('text 3\n')
  expect(history.numberBefore(264)).toBe(263)
  const again = new History(folderOf(path), bounds)
  again.start('text 264\n', 0)
  expect(again.list()).toEqual(history.list())
  expect(again.numberBefore(first)).toBe(3)
})

test('a run ends with another author, another route, an hour, or an edit of several things', () => {
  const first = step(2, 'gtin', 'anna')
  expect(step(3, 'gtin', 'anna', first).run).toBe(2)
  expect(step(3, 'search', 'anna', first).run).toBe(3)
  expect(step(3, 'gtin', 'bob', first).run).toBe(3)
  const later = { ...step(3, 'gtin', 'anna'), atMs: first.atMs + 3_600_001 }
  expect(runOf(later, first)).toBe(3)
  const [change] = first.summary?.changes ?? []
  const two = { ...later, atMs: first.atMs, summary: { changes: [change!, change!], more: 0 } }
  expect(runOf(two, first)).toBe(3)
  expect(runOf({ ...later, atMs: first.atMs, summary: null }, { ...first, summary: null })).toBe(3)
})

test('where nothing is inside of a run the oldest go, and what they were made of is not known', async () => {
  const steps = Array.from({ length: 9 }, (_, at) => [at % 2 === 0 ? 'anna' : 'bob', 'gtin'] as const)
  const history = await stepped(steps, { revisions: 4, bytes: 1_000_000 })
  expect(history.list().map(({ number }) => number)).toEqual([10, 9, 8, 7])
  expect(await history.textBefore(7)).toBeNull()
})

const MARK = { by: 'anna', atMs: 5, reason: 'before the season' }

test('a revision that is marked stays, over restarts, until it is unmarked', async () => {
  const bounds = { revisions: 3, bytes: 1_000_000 }
  const history = await made(['1\n', '2\n', '3\n'], bounds)
  expect(await history.mark(2, MARK)).toBeNull()
  expect(await history.mark(9, MARK)).toBe('no-such-revision')
  for (const number of [4, 5]) await history.add(recordOf(number, `${number}\n`), `${number}\n`)
  expect(history.list().map(({ number }) => number)).toEqual([5, 4, 2])
  const again = new History(folderOf(path), bounds)
  again.start('5\n', 0)
  expect(again.markOf(2)).toEqual(MARK)
  expect(again.markOf(4)).toBeNull()
  await again.add(recordOf(6, '6\n'), '6\n')
  expect(again.list().map(({ number }) => number)).toEqual([6, 5, 2])
  // Between them there were others: what 5 was made of is not known.
  expect(again.numberBefore(5)).toBeNull()
  expect(await again.mark(2, null)).toBeNull()
  expect(await files()).toEqual(['2.yaml', '5.yaml', '6.yaml'])
  await again.add(recordOf(7, '7\n'), '7\n')
  expect(again.list().map(({ number }) => number)).toEqual([7, 6, 5])
})

test('marks are bounded in number and in bytes, so that there is room for what comes', async () => {
  const history = await made(
    ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(1000)),
    { revisions: 9, bytes: 5000 },
  )
  expect(await history.mark(1, MARK)).toBeNull()
  expect(await history.mark(2, MARK)).toBeNull()
  expect(await history.mark(3, MARK)).toBe('too-many-kept')
  expect(await history.mark(2, MARK)).toBeNull()
})

test('a mark stays where a cluster has the revision again in another epoch, and goes with another text', async () => {
  const history = await made(['1\n'])
  const inEpoch = (epoch: number, text: string): RevisionRecord => ({
    ...recordOf(2, text),
    cluster: { format: 1, id: 'c', epoch, nonce: String(epoch) },
  })
  await history.follow(inEpoch(1, '2\n'), '2\n')
  await history.mark(2, MARK)
  await history.follow(inEpoch(2, '2\n'), '2\n')
  expect(history.markOf(2)).toEqual(MARK)
  await history.follow(inEpoch(3, 'other\n'), 'other\n')
  expect(history.markOf(2)).toBeNull()
})

test('an instance that follows sees the marks of the owner', async () => {
  const history = await made(['1\n', '2\n'])
  const other = new History(folderOf(path), undefined, { isOwner: false })
  other.start('2\n', 0)
  await history.mark(1, MARK)
  await other.refresh()
  expect(other.markOf(1)).toEqual(MARK)
  await history.mark(1, null)
  await other.refresh()
  expect(other.markOf(1)).toBeNull()
})

test('records of earlier releases and damaged marks and summaries are read', async () => {
  await made(['one\n'])
  const dir = join(home.path, '.banyan/routes.yaml')
  const { summary, run, ...old } = recordOf(2, 'two\n')
  await writeFile(join(dir, '2.yaml'), `# banyan ${JSON.stringify(old)}\ntwo\n`)
  const odd = { ...recordOf(3, 'three\n'), summary: { changes: [{ what: 'route', keys: [null] }], more: 0 }, run: 99 }
  await writeFile(join(dir, '3.yaml'), `# banyan ${JSON.stringify(odd)}\nthree\n`)
  for (const [name, text] of [
    ['1.kept', '{'],
    ['2.kept', '7'],
    ['9.kept', '{"by":"a","atMs":1}'],
  ] as const)
    await writeFile(join(dir, name), text)
  const again = new History(folderOf(path))
  again.start('three\n', 0)
  expect(again.list()).toEqual([recordOf(3, 'three\n'), recordOf(2, 'two\n'), again.get(1)])
  expect([1, 2, 3, 9].map((number) => again.markOf(number))).toEqual([null, null, null, null])
})
