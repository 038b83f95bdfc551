/**
 * The only writer: an edit is validated, written and put in force, or nothing has changed; the file's own edits are never lost.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { chmod, mkdir, readdir, rename, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { EditTerms } from '../../../src/control/table/edit-outcome.ts'
import { patchRoute, replaceText } from '../../../src/control/table/edits.ts'
import { TableFile } from '../../../src/control/table/file.ts'
import type { Revision } from '../../../src/state/live-table.ts'
import { type Rig, rig, TABLE } from '../rig.ts'

const ANYHOW: EditTerms = { ifMatch: null, reason: null, author: 'anna' }
const INVALID = TABLE.replace('to: gtin\n    percent', 'to: gtni\n    percent')
/** The line of `to: gtni`. */
const INVALID_LINE = INVALID.slice(0, INVALID.indexOf('gtni')).split('\n').length

let at: Rig

beforeEach(async () => {
  at = await rig()
})
afterEach(() => at.close())

function percentOf(id: string): number | undefined {
  return at.live.current.table.routes.find((route) => route.id === id)?.percent
}

/** Resolves with the next revision whose table fits. */
function revision(fits: (revision: Revision) => boolean): Promise<Revision> {
  return new Promise((done) => {
    at.live.onApply((next) => fits(next) && done(next))
  })
}

test('an edit changes the number, and no other byte', async () => {
  const outcome = await at.operations.commit(patchRoute('gtin-lookup', { percent: 12.5 }), ANYHOW)
  expect(outcome).toMatchObject({ kind: 'done', changed: true, before: { number: 1 }, revision: { number: 2 } })
  expect(await at.text()).toBe(TABLE.replace('percent: 5  ', 'percent: 12.5  '))
  expect(at.live.current.text).toBe(await at.text())
  expect(percentOf('gtin-lookup')).toBe(12.5)
  expect(await readdir(at.folder)).toEqual(['routes.yaml'])
})

test('a look at the file from before an edit by the API never undoes that edit', async () => {
  const before = await new TableFile(at.path).readNow()
  await at.operations.commit(patchRoute('gtin-lookup', { percent: 50 }), ANYHOW)
  await at.operations.takeIn(before)
  expect(percentOf('gtin-lookup')).toBe(50)
  expect(at.live.current.number).toBe(2)
})

test('an edit of a route in one line, and of one without percent, keeps every other byte', async () => {
  await at.operations.commit(patchRoute('search', { percent: 0 }), ANYHOW)
  await at.operations.commit(patchRoute('reviews', { percent: 1 }), ANYHOW)
  expect(await at.text()).toBe(
    TABLE.replace('percent: 100 }', 'percent: 0 }').replace(
      'to: gtin\n# the end',
      'to: gtin\n    percent: 1\n# the end',
    ),
  )
})

test('line ends and byte order mark stay as they are', async () => {
  const text = `\uFEFF${TABLE.replaceAll('\n', '\r\n')}`
  await writeFile(at.path, text)
  await at.operations.commit(patchRoute('gtin-lookup', { percent: 6 }), ANYHOW)
  expect(await at.text()).toBe(text.replace('percent: 5  ', 'percent: 6  '))
})

test('writing what stands already changes nothing', async () => {
  const outcome = await at.operations.commit(patchRoute('gtin-lookup', { percent: 5 }), ANYHOW)
  expect(outcome).toMatchObject({ kind: 'done', changed: false, revision: { number: 1 } })
  expect(await at.operations.commit(patchRoute('reviews', { percent: 0 }), ANYHOW)).toMatchObject({
    kind: 'done',
    changed: false,
  })
  expect(await at.text()).toBe(TABLE)
})

test('If-Match of another revision is outdated; of the present one it is done', async () => {
  const { etag } = at.live.current
  await at.operations.commit(patchRoute('gtin-lookup', { percent: 6 }), ANYHOW)
  expect(
    await at.operations.commit(patchRoute('gtin-lookup', { percent: 7 }), { ...ANYHOW, ifMatch: [etag] }),
  ).toMatchObject({
    kind: 'outdated',
    revision: { number: 2 },
  })
  expect(percentOf('gtin-lookup')).toBe(6)
  const now = [etag, at.live.current.etag]
  expect(
    await at.operations.commit(patchRoute('gtin-lookup', { percent: 7 }), { ...ANYHOW, ifMatch: now }),
  ).toMatchObject({
    kind: 'done',
  })
  expect(
    await at.operations.commit(patchRoute('gtin-lookup', { percent: 8 }), { ...ANYHOW, ifMatch: '*' }),
  ).toMatchObject({
    kind: 'done',
  })
})

test('a route that there is not is said to be none', async () => {
  expect(await at.operations.commit(patchRoute('gtin', { percent: 6 }), ANYHOW)).toMatchObject({
    kind: 'no-such-route',
  })
})

test('an edit of the file that nobody has seen yet is taken in before an edit by the API', async () => {
  const edited = TABLE.replace('percent: 100', 'percent: 40')
  await writeFile(at.path, edited)
  expect(await at.operations.commit(patchRoute('gtin-lookup', { percent: 6 }), ANYHOW)).toMatchObject({
    revision: { number: 3 },
  })
  expect(await at.text()).toBe(edited.replace('percent: 5  ', 'percent: 6  '))
  expect(percentOf('search')).toBe(40)
  const by = at.lines.filter((line) => line.fields.event === 'revision').map((line) => line.fields.author)
  expect(by).toEqual(['file', 'anna'])
})

test('an edit of the file that takes back one by the API is logged with what it changes', async () => {
  await at.operations.commit(patchRoute('gtin-lookup', { percent: 6 }), ANYHOW)
  await writeFile(at.path, TABLE)
  await at.operations.commit(patchRoute('search', { percent: 40 }), ANYHOW)
  const lines = at.lines.filter(({ fields }) => fields.event === 'revision').map(({ fields }) => fields)
  const keys = [{ key: 'percent', before: 6, after: 5 }]
  expect(lines).toEqual([
    expect.not.objectContaining({ changes: expect.anything() }),
    expect.objectContaining({
      author: 'file',
      changes: [{ what: 'route', name: 'gtin-lookup', change: 'changed', keys }],
    }),
    expect.not.objectContaining({ changes: expect.anything() }),
  ])
})

test('an edit of the file makes the tag that an API edit was made for outdated', async () => {
  const ifMatch = [at.live.current.etag]
  const edited = TABLE.replace('percent: 100', 'percent: 40')
  await writeFile(at.path, edited)
  expect(await at.operations.commit(patchRoute('gtin-lookup', { percent: 6 }), { ...ANYHOW, ifMatch })).toMatchObject({
    kind: 'outdated',
  })
  expect(await at.text()).toBe(edited)
})

test('an invalid file is not written over, and reported once with its line', async () => {
  await writeFile(at.path, INVALID)
  for (let attempt = 0; attempt < 3; attempt++) {
    const outcome = await at.operations.commit(patchRoute('gtin-lookup', { percent: 6 }), ANYHOW)
    expect(outcome).toMatchObject({ kind: 'file-refused', problems: [{ line: INVALID_LINE }] })
  }
  expect(await at.text()).toBe(INVALID)
  expect(at.live.current.number).toBe(1)
  expect(at.live.refusal?.problems).toHaveLength(1)
  const told = at.lines.filter((line) => line.fields.pointer !== undefined)
  expect(told).toHaveLength(1)
  expect(told[0]?.message).toContain(`routes.yaml:${INVALID_LINE}:`)
})

test('a file that is put right again is in force again, with the revision it was', async () => {
  await writeFile(at.path, INVALID)
  await at.operations.commit(patchRoute('gtin-lookup', { percent: 6 }), ANYHOW)
  await writeFile(at.path, TABLE)
  expect(await at.operations.commit(patchRoute('gtin-lookup', { percent: 5 }), ANYHOW)).toMatchObject({
    kind: 'done',
    changed: false,
  })
  expect(at.live.current.number).toBe(1)
  expect(at.live.refusal).toBeNull()
})

test('a file that is gone or has become a folder is not made anew', async () => {
  await unlink(at.path)
  expect(await at.operations.commit(patchRoute('gtin-lookup', { percent: 6 }), ANYHOW)).toMatchObject({
    kind: 'file-refused',
  })
  expect(await readdir(at.folder)).toEqual([])
  await mkdir(at.path)
  expect(await at.operations.commit(patchRoute('gtin-lookup', { percent: 6 }), ANYHOW)).toMatchObject({
    kind: 'file-refused',
  })
  expect(at.live.refusal?.problems[0]?.message).toBe('is a directory')
  await rm(at.path, { recursive: true })
  expect(percentOf('gtin-lookup')).toBe(5)
})

test('a read-only file stays as it is, and so does what is in force', async () => {
  await chmod(at.path, 0o444)
  const outcome = await at.operations.commit(patchRoute('gtin-lookup', { percent: 6 }), ANYHOW)
  expect(outcome).toMatchObject({ kind: 'not-written', flaw: 'read-only' })
  expect(at.live.current.number).toBe(1)
  expect(await at.text()).toBe(TABLE)
})

test('a table that can not be put in force is not written', async () => {
  at.live.onPrepare((table) => {
    if (table.routes.some((route) => route.percent === 13)) throw new Error('no certificate at /etc/ca.pem')
    return () => {}
  })
  const outcome = await at.operations.commit(patchRoute('gtin-lookup', { percent: 13 }), ANYHOW)
  expect(outcome).toMatchObject({ kind: 'refused', problems: [{ message: 'no certificate at /etc/ca.pem' }] })
  expect(await at.text()).toBe(TABLE)
  expect(at.live.current.number).toBe(1)
})

test('a table that is refused in the last step is taken back out of the file', async () => {
  let asked = 0
  at.live.onPrepare(() => {
    // The first call is for the table in force, the second the trial, the third the real thing.
    if (++asked === 3) throw new Error('the pool is gone')
    return () => {}
  })
  expect(await at.operations.commit(patchRoute('gtin-lookup', { percent: 13 }), ANYHOW)).toMatchObject({
    kind: 'refused',
  })
  expect(await at.text()).toBe(TABLE)
  expect(at.live.current.number).toBe(1)
})

test('a forced one that is refused in the last step gives the file back what it held, valid or not', async () => {
  await writeFile(at.path, INVALID)
  let asked = 0
  at.live.onPrepare(() => {
    if (++asked === 3) throw new Error('the pool is gone')
    return () => {}
  })
  const forced = { ...ANYHOW, force: true }
  expect(await at.operations.commit(replaceText(TABLE), forced)).toMatchObject({
    kind: 'refused',
    problems: [{ message: 'the pool is gone' }],
  })
  expect(await at.text()).toBe(INVALID)
  expect(at.live.current.number).toBe(1)
})

test('a file that can not be given back what it held is told of', async () => {
  let asked = 0
  at.live.onPrepare(() => {
    if (++asked < 3) return () => {}
    rmSync(at.path)
    mkdirSync(at.path)
    throw new Error('the pool is gone')
  })
  expect(await at.operations.commit(patchRoute('gtin-lookup', { percent: 13 }), ANYHOW)).toMatchObject({
    kind: 'refused',
  })
  const told = at.lines.find(({ fields }) => fields.event === 'table-failed')
  expect(told).toMatchObject({
    level: 'error',
    message: expect.stringContaining('contains a table that is not applied'),
  })
  expect(percentOf('gtin-lookup')).toBe(5)
})

test('where banyan itself fails over an edit of the file it says so, and goes on watching', async () => {
  at.operations.watch()
  const { refuse } = at.live
  const failed = new Promise<void>((done) => {
    at.live.refuse = () => {
      at.live.refuse = refuse
      setImmediate(done)
      throw new Error('a slip of ours')
    }
  })
  await writeFile(at.path, INVALID)
  await failed
  expect(at.lines.at(-1)).toMatchObject({ level: 'error', fields: { event: 'table-failed' } })
  const next = revision((one) => one.number === 2)
  await writeFile(at.path, TABLE.replace('percent: 100', 'percent: 1'))
  await next
  expect(percentOf('search')).toBe(1)
})

test('a revision is in force although a part that is told of it fails', async () => {
  at.live.onApply(() => {
    throw new Error('the listener is wrong')
  })
  const told = revision((next) => next.number === 2)
  expect(await at.operations.commit(patchRoute('gtin-lookup', { percent: 13 }), ANYHOW)).toMatchObject({
    kind: 'done',
    changed: true,
  })
  expect(await at.text()).toBe(at.live.current.text)
  expect(at.lines.find((line) => line.fields.event === 'revision-listener')?.level).toBe('error')
  // Whoever comes behind it is told all the same: a process that is half on the new table is on none.
  await told
})

test('fifty edits at once are fifty revisions in a line, and the last one is in the file', async () => {
  const percents = Array.from({ length: 50 }, (_, at) => at + 6)
  const outcomes = await Promise.all(
    percents.map((to) => at.operations.commit(patchRoute('gtin-lookup', { percent: to }), ANYHOW)),
  )
  expect(outcomes.map((outcome) => outcome.kind === 'done' && outcome.revision.number)).toEqual(
    percents.map((_, index) => index + 2),
  )
  expect(await at.text()).toBe(TABLE.replace('percent: 5  ', 'percent: 55  '))
})

test('what the API has written is not taken for an edit of the file', async () => {
  at.operations.watch()
  for (const percent of [6, 7, 8]) await at.operations.commit(patchRoute('gtin-lookup', { percent: percent }), ANYHOW)
  const next = revision((one) => one.text.includes('# seen'))
  await writeFile(at.path, `${at.live.current.text}\n# seen\n`)
  expect((await next).number).toBe(5)
})

test('an edit of the file is in force, an invalid one is not, and a mended one is', async () => {
  at.operations.watch()
  const first = revision((one) => one.number === 2)
  await writeFile(`${at.path}.new`, TABLE.replace('percent: 100', 'percent: 1'))
  await rename(`${at.path}.new`, at.path)
  await first
  expect(percentOf('search')).toBe(1)

  const refused = new Promise<void>((done) => {
    const { refuse } = at.live
    at.live.refuse = (...given) => {
      refuse.apply(at.live, given)
      done()
    }
  })
  await writeFile(at.path, INVALID)
  await refused
  expect(at.live.current.number).toBe(2)

  const mended = revision((one) => one.number === 3)
  await writeFile(at.path, INVALID.replace('gtni', 'gtin').replace('percent: 100', 'percent: 2'))
  await mended
  expect(percentOf('search')).toBe(2)
  expect(at.live.refusal).toBeNull()
})

test('edits by the file and by the API at the same time end with file and table the same', async () => {
  at.operations.watch()
  const api = async () => {
    for (let percent = 10; percent < 20; percent++)
      await at.operations.commit(patchRoute('gtin-lookup', { percent: percent }), ANYHOW)
  }
  const hand = async () => {
    for (let edit = 0; edit < 5; edit++) {
      await writeFile(join(at.folder, 'new'), `${await at.text()}\n# edit ${edit}`)
      await rename(join(at.folder, 'new'), at.path)
    }
  }
  await Promise.all([api(), hand()])
  const last = revision((one) => one.text.endsWith('\n# over\n'))
  await writeFile(at.path, `${await at.text()}\n# over\n`)
  await last
  expect(at.live.current.text).toBe(await at.text())
})
