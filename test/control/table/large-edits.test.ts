/** Edits of a table that is parsed on a thread of its own: who waits for whom, and what comes of edits that overtake others. */
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { Confirmation } from '../../../src/control/table/confirmation.ts'
import {
  addRoute,
  patchRoute,
  patchRoutes,
  removeRoute,
  replaceButPercents,
  replaceText,
  restoreRevision,
  revertRevisions,
} from '../../../src/control/table/edits.ts'
import type { ReadText } from '../../../src/control/table/read-text.ts'
import { TableReader } from '../../../src/control/table/reader.ts'
import { TableReports } from '../../../src/control/table/reports.ts'
import { tableWithNumbers } from '../../../src/rules/language/numbers.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import { LiveTable } from '../../../src/state/live-table.ts'
import { logInto, rig } from '../rig.ts'

const TERMS = { ifMatch: null, author: 'ada', reason: null }

const ROUTES = Array.from(
  { length: 100 },
  (_, at) => `  - { id: r${at}, match: { path: /p${at}/:x }, to: new, percent: 5 }\n`,
)
const TEXT = `version: 1
upstreams:
  main: { servers: [http://127.0.0.1:4001] }
  new: { servers: [http://127.0.0.1:4002, { url: http://127.0.0.1:4003, weight: 7 }] }
default: main
routes:
${ROUTES.join('')}`

/** The first dash has a line of its own: routes can't be read one by one. */
const WHOLE = TEXT.replace('  - {', '  -\n    {')

async function large() {
  const found = await rig(TEXT)
  onTestFinished(found.close)
  return found
}

test('a percent does not wait for a text that is being parsed, and neither edit is lost', async () => {
  const { operations, live, history, text } = await large()
  const order: string[] = []
  const told = (name: string) => () => void order.push(name)
  // Parses the text first: only then is it known where its numbers are.
  await operations.commit(addRoute({ id: 'first', match: { path: '/first' }, to: 'new' }), TERMS)
  const added = operations.commit(addRoute({ id: 'added', match: { path: '/added' }, to: 'new' }), TERMS)
  const moved = operations.commit(patchRoute('r7', { percent: 50 }), TERMS)
  await Promise.all([added.then(told('route')), moved.then(told('percent'))])
  expect(order).toEqual(['percent', 'route'])
  expect(await text()).toContain('id: r7, match: { path: /p7/:x }, to: new, percent: 50')
  const { table } = live.current
  expect([table.routes.at(-1)?.id, table.routes[7]?.percent, table.routes[7]?.threshold]).toEqual([
    'added',
    50,
    2 ** 31,
  ])
  expect(history.list().map(({ number, summary }) => [number, summary?.changes[0]?.name])).toEqual([
    [4, 'added'],
    [3, 'r7'],
    [2, 'first'],
    [1, undefined],
  ])
})

test('who replaces a whole text wins over what was changed meanwhile, unless it names a revision', async () => {
  const { operations, live, text } = await large()
  await operations.commit(addRoute({ id: 'first', match: { path: '/first' }, to: 'new' }), TERMS)
  const other = `${TEXT}# mine\n`
  const { etag } = live.current
  const [named, replaced, moved] = [
    operations.commit(replaceText(`${TEXT}# named\n`), { ...TERMS, ifMatch: [etag] }),
    operations.commit(replaceText(other), TERMS),
    operations.commit(patchRoute('r7', { percent: 50 }), TERMS),
  ]
  expect((await moved).kind).toBe('done')
  expect((await named).kind).toBe('outdated')
  expect((await replaced).kind).toBe('done')
  expect(await text()).toBe(other)
  expect(live.current.table.routes[7]?.percent).toBe(5)
})

test.each([
  ['its own', TEXT],
  ['none', WHOLE],
])('a file is applied beside percents that move without end, and keeps them: facts about %s', async (_, text) => {
  const { operations, live, close } = await rig(text)
  onTestFinished(close)
  const terms = { ...TERMS, ifMatch: [live.current.etag], percentsMayMove: true }
  const file = `${text.replace('/p3/:x', '/other/:x')}  - { id: last, match: { path: /last }, to: new }\n`
  let [over, percent] = [false, 10]
  const moves = async (): Promise<void> => {
    while (!over) {
      percent = 10 + ((percent + 1) % 80)
      expect((await operations.commit(patchRoute('r7', { percent }), TERMS)).kind).toBe('done')
    }
  }
  expect((await operations.commit(patchRoute('r7', { percent }), TERMS)).kind).toBe('done')
  const applied = operations.commit(replaceButPercents(file), terms).finally(() => {
    over = true
  })
  await moves()
  expect(await applied).toMatchObject({ kind: 'done' })
  const { table } = live.current
  expect([table.routes.at(-1)?.id, table.routes[3]?.document.match.path]).toEqual(['last', '/other/:x'])
  expect([table.routes[7]?.percent, table.routes[8]?.percent]).toEqual([percent, 5])
})

test('a file is not applied where anything but percents has changed since', async () => {
  const { operations, live, text } = await large()
  const terms = { ...TERMS, ifMatch: [live.current.etag], percentsMayMove: true }
  await operations.commit(addRoute({ id: 'added', match: { path: '/added' }, to: 'new' }), TERMS)
  expect((await operations.commit(replaceButPercents(`${TEXT}#\n`), terms)).kind).toBe('outdated')
  expect(await text()).toContain('id: added')
  const again = { ...terms, ifMatch: [live.current.etag] }
  const applied = operations.commit(replaceButPercents(`${TEXT}#\n`), again)
  // Overtakes it while its text is being parsed.
  await operations.commit(patchRoute('r7', { percent: 50 }), TERMS)
  const changed = operations.commit(patchRoute('r3', { noKey: 'to' }), TERMS)
  const kinds = [(await applied).kind, (await changed).kind]
  expect(['done,done', 'outdated,done']).toContain(String(kinds))
  expect(live.current.table.routes[3]?.document.noKey).toBe('to')
})

test('an edit that is overtaken again and again is made all the same', async () => {
  const { operations, live } = await large()
  await operations.commit(addRoute({ id: 'first', match: { path: '/first' }, to: 'new' }), TERMS)
  let over = false
  const added = operations.commit(addRoute({ id: 'added', match: { path: '/added' }, to: 'new' }), TERMS)
  const done = added.then(() => (over = true))
  for (let percent = 0; !over; percent = (percent + 1) % 100) {
    await operations.commit(patchRoute('r7', { percent }), TERMS)
  }
  await done
  expect(live.current.table.places.has('added')).toBe(true)
})

test('an edit that is being parsed goes on with the numbers that others change meanwhile', async () => {
  const { operations, live, history, text, close } = await rig(WHOLE)
  onTestFinished(close)
  // Parses the text first: only then is it known where its numbers are.
  await operations.commit(addRoute({ id: 'first', match: { path: '/first' }, to: 'new' }), TERMS)
  const edit = vi.spyOn(TableReader.prototype, 'edit')
  onTestFinished(() => edit.mockRestore())
  const changed = operations.commit(patchRoute('r3', { sticky: 'cookie:sid' }), TERMS)
  await expect.poll(() => edit.mock.calls.length).toBe(1)
  const moves = [1, 2].map((percent) => operations.commit(patchRoute(`r${percent}`, { percent }), TERMS))
  expect((await Promise.all(moves)).map(({ kind }) => kind)).toEqual(['done', 'done'])
  const made = await changed
  if (made.kind !== 'done') throw new Error(made.kind)
  expect(made.changes).toMatchObject([{ name: 'r3', keys: [{ key: 'sticky' }] }])
  expect(edit).toHaveBeenCalledTimes(1)
  const undone = operations.commit(revertRevisions(made.revision.number, made.revision.number, history), TERMS)
  for (let percent = 10; percent < 13; percent++)
    expect((await operations.commit(patchRoute('r7', { percent }), TERMS)).kind).toBe('done')
  expect(await undone).toMatchObject({ kind: 'done', changes: [{ name: 'r3', keys: [{ key: 'sticky' }] }] })
  const read = readTable(await text(), 'routes.yaml')
  if (!read.ok) throw new Error('the table is not valid')
  expect(live.current.text).toBe(await text())
  expect(live.current.table.routes.map(({ document }) => document)).toEqual(
    read.table.routes.map(({ document }) => document),
  )
  expect(live.current.table.routes.slice(0, 9).map(({ percent }) => percent)).toEqual([5, 1, 2, 5, 5, 5, 5, 12, 5])
})

test('numbers are changed, taken back and undone as by any other edit', async () => {
  const { operations, live, history, text, lines } = await large()
  await operations.commit(addRoute({ id: 'first', match: { path: '/first' }, to: 'new' }), TERMS)
  const before = await text()
  const entry = live.current.table.routes[3]
  const both = patchRoutes([
    { id: 'r1', patch: { percent: 100 } },
    { id: 'r2', patch: { percent: 0.5 } },
  ])
  const would = await operations.commit(both, { ...TERMS, dryRun: true })
  expect(would).toMatchObject({ kind: 'would', changed: true })
  expect(await text()).toBe(before)
  expect(await operations.commit(both, TERMS)).toMatchObject({
    kind: 'done',
    changes: [
      { name: 'r1', keys: [{ key: 'percent', before: 5, after: 100 }] },
      { name: 'r2', keys: [{ key: 'percent', before: 5, after: 0.5 }] },
    ],
  })
  expect(live.current.table.routes[3]).toBe(entry)
  expect(await operations.commit(both, TERMS)).toMatchObject({ kind: 'done', changed: false })
  expect(await operations.commit(patchRoute('r1', { percent: 101 }), TERMS)).toMatchObject({
    kind: 'invalid',
    errors: [{ pointer: '/percent' }],
  })
  await operations.commit(patchRoute('r1', { percent: 99 }), TERMS)
  expect(await operations.commit(restoreRevision(3, history), TERMS)).toMatchObject({ kind: 'done', changed: true })
  expect([live.current.number, live.current.table.routes[1]?.percent]).toEqual([5, 100])
  expect(await operations.commit(restoreRevision(2, history), TERMS)).toMatchObject({ kind: 'done', changed: true })
  expect(await text()).toBe(before)
  expect(lines.filter(({ level }) => level !== 'info')).toEqual([])
})

test('an edit that would make the file larger than one may be is refused, one that makes it smaller is made', async () => {
  const most = 16 * 1024 * 1024
  const { operations, text, close } = await rig(`${TEXT}# ${'x'.repeat(most - TEXT.length - 10)}\n`)
  onTestFinished(close)
  const before = await text()
  const added = addRoute({ id: 'added', match: { path: '/added' }, to: 'new' })
  expect(await operations.commit(added, TERMS)).toMatchObject({
    ...{ kind: 'refused', problems: [{ message: 'is larger than 16 MiB' }] },
  })
  expect(await text()).toBe(before)
  expect((await operations.commit(removeRoute('r1'), TERMS)).kind).toBe('done')
})

test.each([
  ['large', TEXT],
  ['small', TEXT.slice(0, TEXT.indexOf('  - { id: r9,'))],
])('warnings are logged once, not with each edit of a %s table', async (_, start) => {
  const { operations, live, lines, close } = await rig(start)
  onTestFinished(close)
  const told = async (edit: Parameters<typeof operations.commit>[0]): Promise<unknown[]> => {
    const before = lines.length
    expect((await operations.commit(edit, TERMS)).kind).toBe('done')
    return lines
      .slice(before)
      .filter(({ fields }) => fields.event === 'table-warning')
      .map(({ fields }) => fields.pointer)
  }
  expect(await told(addRoute({ id: 'first', match: { path: '/first' }, to: 'new' }))).toEqual([])
  expect(await told(patchRoute('r3', { noKey: 'to' }))).toEqual(['/routes/3/noKey'])
  expect(await told(patchRoute('r5', { noKey: 'to' }))).toEqual(['/routes/5/noKey'])
  expect(await told(removeRoute('r1'))).toEqual([])
  expect(await told(replaceText(`${live.current.text}visitor: { name: v }\n`))).toEqual(['/visitor'])
  expect(await told(patchRoute('r3', { noKey: null }))).toEqual([])
  expect(await told(patchRoute('r3', { noKey: 'from' }))).toEqual(['/routes/2/noKey'])
})

afterEach(() => vi.useRealTimers())

/** A table that an edit has made, whose first percent is not 5 as its text says where `said` is another one; and what confirms it. */
function confirming(said: number) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const read = readTable(TEXT, 'routes.yaml')
  if (!read.ok) throw new Error('the table is not valid')
  const table = tableWithNumbers(read.table, [{ owner: 0, part: -1, value: said }])
  if (table === null) throw new Error('the number is not changed')
  const live = new LiveTable(table, TEXT, 0)
  const reader = new TableReader('routes.yaml', null)
  const parse = vi.spyOn(reader, 'parse')
  const corrected: ReadText[] = []
  const correct = async (one: ReadText) => void corrected.push(one)
  const reports = new TableReports(logInto([]), 'routes.yaml')
  const confirmation = new Confirmation({ live, reader, correct, reports })
  onTestFinished(() => confirmation.close())
  return { table, live, reader, parse, corrected, confirmation }
}

test.each([
  ['is confirmed', [5], false],
  ['is corrected', [6], true],
])('a table that is edited without a pause %s now and then', async (_, [said = 0], isWrong) => {
  const { table, live, parse, corrected, confirmation } = confirming(said)
  for (let second = 0; second < 300; second++) {
    confirmation.later()
    await vi.advanceTimersByTimeAsync(1_000)
  }
  expect(parse).toHaveBeenCalledTimes(1)
  // While it is parsed there is another edit.
  live.apply(table, `${TEXT}# more\n`, 0)
  vi.useRealTimers()
  await parse.mock.results[0]?.value
  await new Promise((turn) => setImmediate(turn))
  expect(corrected.map(({ text }) => text)).toEqual(isWrong ? [TEXT] : [])
})

test.each([
  ['confirms a table that is what its text says', [5], false],
  ['corrects one that is not', [6], true],
])('a parse %s', async (_, [said = 0], isWrong) => {
  const { table, live, reader, parse, corrected, confirmation } = confirming(said)
  for (let edit = 0; edit < 10; edit++) confirmation.later()
  await vi.advanceTimersByTimeAsync(5_000)
  vi.useRealTimers()
  await parse.mock.results[0]?.value
  await new Promise((turn) => setImmediate(turn))
  expect(parse).toHaveBeenCalledTimes(1)
  expect(corrected.map((one) => one.ok && one.table.routes[0]?.percent)).toEqual(isWrong ? [5] : [])
  // From now on it is known where the numbers are.
  const edit = { kind: 'route', at: 1, route: { ...table.routes[1]?.document, percent: 9 } } as const
  expect(reader.editNow(live.current, edit) !== null).toBe(!isWrong)
})

test('parses that take longer than edits are apart do not pile up, and the last text is confirmed', async () => {
  const { table, live, parse, corrected, confirmation } = confirming(5)
  const slow = Promise.withResolvers<ReadText>()
  parse.mockReturnValueOnce(slow.promise)
  for (let edit = 0; edit < 10; edit++) {
    live.apply(table, `${TEXT}# ${edit}\n`, 0)
    confirmation.later()
    await vi.advanceTimersByTimeAsync(3_000)
  }
  expect(parse).toHaveBeenCalledTimes(1)
  slow.resolve({ ok: true, text: `${TEXT}# 0\n`, table } as ReadText)
  await vi.advanceTimersByTimeAsync(3_000)
  expect(parse.mock.calls.map(([text]) => text)).toEqual([`${TEXT}# 0\n`, `${TEXT}# 9\n`])
  vi.useRealTimers()
  await parse.mock.results[1]?.value
  expect(corrected).toEqual([])
})
