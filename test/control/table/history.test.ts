/**
 * The history: numbers and tags that survive restarts, an edit that died in its middle, bounds, and disks that refuse.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { History, type HistoryBounds } from '../../../src/control/table/history.ts'
import type { RevisionRecord } from '../../../src/control/table/revision-record.ts'
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
