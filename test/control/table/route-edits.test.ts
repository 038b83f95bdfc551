/** Routes of a large table that are edited and parsed in an excerpt: what comes out is what a parse of the whole text makes. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { tableSteps } from '../../../src/control/table/apart-jobs.ts'
import { rebased, TableReader } from '../../../src/control/table/reader.ts'
import { withRoutesSteps } from '../../../src/rules/language/compile.ts'
import { editTable, type TableEdit, withEdit } from '../../../src/rules/language/edit.ts'
import { tableWithNumbers, withNumbers } from '../../../src/rules/language/numbers.ts'
import { MAX_LEXEMES } from '../../../src/rules/language/parse.ts'
import { type Problem, type ReadTable, readTable } from '../../../src/rules/language/text.ts'
import { allOf } from '../../../src/rules/values/steps.ts'
import { LiveTable } from '../../../src/state/live-table.ts'

/** Enough that the text is a large one. */
const FILLER = 40

const NAME = 'routes.yaml'

const paths = fc.constantFrom('/a', '/a/:x', '/:x/a', '/b/*', '/A', '/a/b', '/c', '/c/:y/d')

const routes = fc.record(
  {
    match: fc.record(
      {
        path: paths,
        methods: fc.constantFrom(['GET'], ['GET', 'POST'], ['POST']),
        hosts: fc.constantFrom(['one.example'], ['*.example'], ['one.example', 'two.example']),
        headers: fc.constantFrom({ 'x-tester': 'yes' }),
      },
      { requiredKeys: ['path'] },
    ),
    priority: fc.constantFrom(1, 5),
    to: fc.constantFrom('new', { new: 60, next: 40 }, 'main'),
    percent: fc.constantFrom(0, 5, 12.5, 100),
    noKey: fc.constantFrom('from', 'to'),
    sticky: fc.constantFrom(['cookie:sid'], ['visitor'], 'request'),
    fallback: fc.constantFrom({ maxReplay: '1KiB' }, { on: [502] }),
  },
  { requiredKeys: ['match', 'to'] },
)

function line(value: object): string {
  return JSON.stringify(value).replaceAll(/[{},]|"([\w-]+)":/g, (all, key) =>
    key === undefined ? `${all} ` : `${key}: `,
  )
}

const samples = fc
  .record({
    list: fc.array(routes, { minLength: 1, maxLength: 6 }),
    at: fc.nat(FILLER),
    isBlock: fc.boolean(),
    crlf: fc.boolean(),
    mark: fc.boolean(),
    between: fc.constantFrom('', '  # about the next one\n', '\n', '# and\n\n'),
    behind: fc.constantFrom('', 'visitor: { name: v }\n', '# the end\n', '...\n'),
    isCut: fc.boolean(),
    brackets: fc.constantFrom(null, null, 'JSON', 'dense JSON', 'lines of JSON', 'lines', 'one line'),
  })
  .map(({ list, at, isBlock, crlf, mark, between, behind, isCut, brackets }) => {
    const filler = Array.from({ length: FILLER }, (_, one) => ({
      id: `f${one}`,
      match: { path: `/filler-${one}/:id`, methods: ['GET', 'HEAD'] },
      to: 'new',
      percent: 5,
    }))
    const all: object[] = [...filler]
    all.splice(at, 0, ...list.map((one, place) => ({ id: `r${place}`, ...one })))
    const text = all.map((one) =>
      isBlock
        ? `  - ${Object.entries(one)
            .map(([key, value]) => `${key}: ${typeof value === 'object' ? line(value) : value}`)
            .join('\n    ')}\n`
        : `  - ${line(one)}\n`,
    )
    const known = { main: { servers: ['http://a'] }, new: { servers: ['http://b'] } }
    const table = {
      ...{ version: 1, upstreams: { ...known, next: { servers: ['http://c', { id: 'd', url: 'http://c' }] } } },
      ...{ default: 'main', routes: all, ...(behind.startsWith('visitor') ? { visitor: { name: 'v' } } : {}) },
    }
    const json: Readonly<Record<string, () => string>> = {
      JSON: () => JSON.stringify(table, null, 2),
      'dense JSON': () => JSON.stringify(table),
      'lines of JSON': () =>
        JSON.stringify({ ...table, routes: ['*'] }).replace(
          '"*"',
          () => `\n${all.map((one) => `  ${JSON.stringify(one)}`).join(',\n')}\n`,
        ),
    }
    const upstreams = `  main: { servers: [http://a] }\n  new: { servers: [http://b] }\n  next: { servers: [http://c, { id: d, url: http://c }] }\n`
    const head = `version: 1\nupstreams:\n${upstreams}default: main\n`
    const inBrackets =
      brackets === 'one line'
        ? `[${all.map(line).join(', ')}]\n`
        : `[ # all\n${all.map((one) => `  ${line(one)}`).join(`,${isBlock ? ' # one' : ''}\n${between}`)}${isCut ? ',' : ''}\n]\n`
    const rest = brackets === null ? `routes:\n${text.join(between)}` : `routes: ${inBrackets}`
    const yaml = `${mark ? '\uFEFF' : ''}${head}${rest}${behind}`
    const whole = json[brackets ?? ''] === undefined ? yaml : `${json[brackets ?? '']?.()}\n`
    const cut = isCut ? whole.replace(/\n$/, '') : whole
    return { text: crlf ? cut.replaceAll('\n', '\r\n') : cut, brackets }
  })

const changes = fc.record({
  what: fc.constantFrom(
    ...['add', 'remove', 'replace', 'noKey', 'several', 'text', 'servers', 'serversText', 'wrong', 'wrong several'],
  ),
  wrong: fc.constantFrom({ percent: 101 }, { to: 'nobody' }, { sticky: ['param:none'] }, { percents: 7 }),
  servers: fc.constantFrom(
    ['http://c'],
    ['http://c', { url: 'https://d', weight: 3 }],
    ['http://e', { id: 'd', url: 'http://e' }, 'http://f'],
    ['http://c', 'ftp://d'],
  ),
  at: fc.nat(FILLER + 5),
  route: routes,
})

type Change = typeof changes extends fc.Arbitrary<infer Value> ? Value : never

function editOf(
  { what, at, route, servers, wrong }: Change,
  { routes: known }: Extract<ReadTable, { ok: true }>['table'],
): TableEdit {
  if (what.startsWith('servers')) return { kind: 'servers', upstream: at % 2 === 0 ? 'next' : 'new', servers }
  const place = at % known.length
  const { id, document } = known[place] as (typeof known)[number]
  const withNoKey = { ...document, percent: 100, noKey: 'from' }
  if (what === 'add') return { kind: 'route', at: known.length, route: { id: 'added', ...route } }
  if (what === 'remove') return { kind: 'route', at: place, route: null }
  if (what === 'noKey') return { kind: 'route', at: place, route: withNoKey }
  if (what === 'wrong') return { kind: 'route', at: place, route: { ...document, ...wrong } }
  if (what === 'several' || what === 'wrong several')
    return {
      kind: 'routes',
      routes: [...new Set([place, (place * 7) % known.length])].map((one) => ({
        at: one,
        route: { ...known[one]?.document, noKey: 'to', ...(what === 'several' ? {} : wrong) },
      })),
    }
  return { kind: 'route', at: place, route: { id, ...route } }
}

/** A table without the functions that it is made of. */
function plain(table: unknown): string {
  return JSON.stringify(table, (_, value) => (value instanceof Map || value instanceof Set ? [...value] : value))
}

test('is what a parse of the whole text makes', async () => {
  let [few, whole, servers, inBrackets, refused] = [0, 0, 0, 0, 0]
  await fc.assert(
    fc.asyncProperty(samples, changes, async ({ text, brackets }, change) => {
      const known = readTable(text, NAME)
      // Routes that overlap, and the like.
      if (!known.ok) return
      const { table, ...facts } = known
      const revision = new LiveTable(table, text, 0).current
      const reader = new TableReader(NAME, { text, facts })
      const edit = editOf(change, table)
      const wanted = editTable(text, (document) => withEdit(document, edit))
      const read = await (change.what === 'text' || change.what === 'serversText'
        ? reader.read(revision, wanted)
        : reader.edit(revision, edit))
      const parsed = readTable(wanted, NAME)
      if (!('ok' in read)) throw new Error(read.message)
      expect(read.ok).toBe(parsed.ok)
      if (!read.ok) {
        if (parsed.ok) throw new Error('is refused')
        const isSeveral = change.what === 'wrong several'
        const told = (all: readonly Problem[]) => all.map((one) => (isSeveral ? { ...one, line: 0, column: 0 } : one))
        expect(read.problems.length).toBeGreaterThan(0)
        expect(told(parsed.problems)).toEqual(expect.arrayContaining(told(read.problems)))
        // What a parse of the whole tells besides: warnings, and routes that can't be told apart.
        const own = parsed.problems.filter((one) => one.severity === 'error' && !/routes\.\d/.test(one.message))
        expect(told(read.problems)).toEqual(expect.arrayContaining(told(own)))
        if (change.what.startsWith('wrong')) refused++
        return
      }
      if (!parsed.ok) throw new Error('is accepted')
      expect(read.text).toBe(wanted)
      expect(plain(read.table)).toBe(plain(parsed.table))
      const { table: _, ok, ...wantedFacts } = parsed
      const { lexemes } = read.facts
      expect(read.facts).toEqual({ ...wantedFacts, lexemes })
      expect(lexemes).toBeGreaterThanOrEqual(parsed.lexemes)
      if (read.move.kind === 'document') whole++
      if (read.move.kind !== 'routes') return
      few++
      if (change.what.startsWith('servers')) servers++
      if (brackets !== null) inBrackets++
      // What workers make of it.
      const sent = JSON.parse(JSON.stringify(read.move.splices)) as typeof read.move.splices
      expect(plain(allOf(withRoutesSteps(table, sent, read.move.upstreams)))).toBe(plain(parsed.table))
    }),
    { numRuns: Number(process.env.BANYAN_ROUNDS ?? 40) },
  )
  const enough = [few > 10, few > whole, servers > 0, inBrackets > 5, refused > 0]
  expect(enough).toEqual(enough.map(() => true))
})

test('what was parsed for an earlier revision goes on with the numbers of a later one', async () => {
  let [again, anew] = [0, 0]
  const moves = fc.array(fc.record({ at: fc.nat(FILLER + 5), percent: fc.constantFrom(0, 7, 33.25, 100) }), {
    maxLength: 4,
  })
  await fc.assert(
    fc.asyncProperty(
      samples,
      changes,
      moves,
      fc.boolean(),
      fc.boolean(),
      async ({ text }, change, moved, hasComment, isWhole) => {
        const known = readTable(text, NAME)
        if (!known.ok) return
        const { table, ...facts } = known
        const before = new LiveTable(table, text, 0).current
        const edit = editOf(change, table)
        const wanted = editTable(text, (document) => withEdit(document, edit))
        const reader = new TableReader(NAME, isWhole ? null : { text, facts })
        const read = await (isWhole ? reader.read(before, wanted) : reader.edit(before, edit))
        if (!('ok' in read) || !read.ok) return
        const places = moved.flatMap(({ at, percent }) => {
          const place = at % table.routes.length
          return table.routes[place]?.document.percent === undefined ? [] : [{ owner: place, part: -1, value: percent }]
        })
        const [numbers, then] = [withNumbers(text, facts.numbers, places), tableWithNumbers(table, places)]
        if (numbers === null || then === null) return
        const now = new LiveTable(then, hasComment ? `${numbers.text}#\n` : numbers.text, 0).current
        const found = rebased({ before, facts, read }, now)
        if (found === null) {
          anew++
          return
        }
        again++
        expect(hasComment).toBe(false)
        // The same edit of the later text, as a parse of the whole has it.
        const touched =
          edit.kind === 'routes' ? edit.routes.map(({ at }) => at) : edit.kind === 'route' ? [edit.at] : []
        expect(
          places.every(({ owner, value }) => !touched.includes(owner) || table.routes[owner]?.percent === value),
        ).toBe(true)
        const merged = editTable(now.text, (document) => withEdit(document, edit))
        const parsed = readTable(merged, NAME)
        if (!parsed.ok || !found.read.ok) throw new Error('is refused')
        expect(found.read.text).toBe(merged)
        expect(plain(found.read.table)).toBe(plain(parsed.table))
        expect([found.read.facts.numbers, found.read.facts.places]).toEqual([parsed.numbers, parsed.places])
        const { move } = found.read
        if (move.kind !== 'document' && move.kind !== 'routes') throw new Error('was not parsed')
        // What workers make of it.
        const sent = allOf(
          move.kind === 'routes'
            ? withRoutesSteps(then, move.splices, move.upstreams)
            : tableSteps(move.document, then),
        )
        const numbered = move.kind === 'document' && move.changes.length > 0
        expect(plain(numbered ? tableWithNumbers(sent, move.changes, true) : sent)).toBe(plain(parsed.table))
        expect(found.before).toBe(now)
        expect(found.facts.numbers).toEqual(readTable(now.text, NAME).ok ? numbers.places : null)
      },
    ),
    { numRuns: Number(process.env.BANYAN_ROUNDS ?? 40) },
  )
  expect([again > 5, anew > 5]).toEqual([true, true])
})

const strokes = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.integer({ min: 0, max: 12 }),
  put: fc.constantFrom(
    ...['', '', ' ', '  ', '\n', '\n\n', '\n  - ', '\n    ', '- ', '"', "'", '#', ' # ', ': ', '{', '}', '[', ']', ','],
    ...[
      '&a ',
      '*a',
      '|',
      '|+\n',
      '>',
      '!!str ',
      '%',
      '---\n',
      '...\n',
      '\t',
      '?',
      'percent: 7\n',
      '\nvisitor: {}\n',
      '\\',
    ],
  ),
})

const typing = fc.array(strokes, { minLength: 1, maxLength: 3 })

test('a text with a few strokes in it says what a parse of it says', async () => {
  await fc.assert(
    fc.asyncProperty(samples, typing, fc.boolean(), async ({ text }, typed, isInHead) => {
      const known = readTable(text, NAME)
      if (!known.ok) return
      const { table, ...facts } = known
      // Close to each other, as somebody types.
      const span = isInHead ? text.indexOf('filler-0') : text.length
      let [edited, from] = [text, Math.floor((typed[0]?.at ?? 0) * span)]
      for (const { at, length, put } of typed) {
        from = Math.min(edited.length, from + Math.floor(at * 40))
        edited = edited.slice(0, from) + put + edited.slice(from + length)
      }
      const read = await new TableReader(NAME, { text, facts }).read(new LiveTable(table, text, 0).current, edited)
      const parsed = readTable(edited, NAME)
      expect(read.ok).toBe(parsed.ok)
      if (!read.ok || !parsed.ok) return
      expect(plain(read.table)).toBe(plain(parsed.table))
      const { warnings, more, numbers, places } = parsed
      if (read.move.kind !== 'numbers') expect(read.facts).toMatchObject({ warnings, more, numbers, places })
    }),
    { numRuns: Number(process.env.BANYAN_ROUNDS ?? 40) },
  )
})

test('routes that hide others, and that go or change beside hidden ones, are read alone all the same', async () => {
  const lines = Array.from({ length: 100 }, (_, at) => `  - { id: r${at}, match: { path: /p${at}/:x }, to: new }\n`)
  const start = `version: 1\nupstreams: { main: { servers: [http://a] }, new: { servers: [http://b] } }\ndefault: main\n`
  let text = `${start}routes:\n${lines.join('')}`
  const told: (readonly string[])[] = []
  for (const [from, to] of [
    ['path: /p7/:x }', 'path: "/p80/*" }, priority: 5'],
    ['  - { id: r3, match: { path: /p3/:x }, to: new }\n', '# one less\n'],
    ['path: /p50/:x }', 'path: /p50/:x }, sticky: [cookie:a, cookie:b]'],
    ['path: /p60/:x }', 'paths: [/p80/x/y, /p90/*] }, priority: 1'],
    ['path: "/p80/*" }, priority: 5', 'path: /p7 }'],
  ] as const) {
    const known = readTable(text, NAME)
    if (!known.ok) throw new Error(JSON.stringify(known.problems))
    const { table, ...facts } = known
    const after = text.replace(from, to)
    const read = await new TableReader(NAME, { text, facts }).read(new LiveTable(table, text, 0).current, after)
    const parsed = readTable(after, NAME)
    if (!read.ok || !parsed.ok) throw new Error('is refused')
    expect(read.move.kind).toBe('routes')
    expect(read.facts.warnings).toEqual(parsed.warnings)
    told.push(parsed.warnings.map(({ line, message }) => `${line} ${message.split(':')[0]} ${/r\d+/.exec(message)}`))
    text = after
  }
  const one = (line: number, by: string): string => `${line} can never match ${by}`
  const alone = [one(85, 'r7')]
  expect(told).toEqual([alone, alone, alone, [one(85, 'r7'), one(95, 'r60')], [one(95, 'r60')]])
})

test('routes beside more warnings than are listed are read alone too', async () => {
  const routes = Array.from({ length: 150 }, (_, at) => ({
    ...{ id: `r${at}`, match: { path: `/p${at}` }, to: 'new', noKey: 'from', sticky: ['cookie:sid', 'ip'] },
  }))
  const upstreams = { main: { servers: ['http://a'] }, new: { servers: ['http://b'] } }
  const text = JSON.stringify({ version: 1, upstreams, default: 'main', routes })
  const known = readTable(text, NAME)
  if (!known.ok) throw new Error(JSON.stringify(known.problems))
  const { table, ...facts } = known
  expect([facts.warnings.length, facts.more]).toEqual([100, 50])
  for (const at of [5, 120, 149]) {
    const edit = { kind: 'route', at, route: { ...routes[at], priority: 0, percent: 7 } } as const
    const read = await new TableReader(NAME, { text, facts }).edit(new LiveTable(table, text, 0).current, edit)
    if (!('ok' in read) || !read.ok) throw new Error('is refused')
    const parsed = readTable(read.text, NAME)
    if (!parsed.ok) throw new Error('is refused')
    expect([at, read.move.kind]).toEqual([at, 'routes'])
    expect(read.facts.warnings).toEqual(parsed.warnings)
    expect(read.facts.more).toBeGreaterThan(0)
    expect(plain(read.table)).toBe(plain(parsed.table))
  }
})

test('an edit that is wrong is refused by what it puts in alone, at its place', async () => {
  const routes = Array.from({ length: 150 }, (_, at) => ({
    ...{ id: `r${at}`, match: { path: `/p${at}` }, to: 'new', percent: 5, noKey: 'from', sticky: ['cookie:sid', 'ip'] },
  }))
  const upstreams = { main: { servers: ['http://a'] }, new: { servers: ['http://b'] } }
  const document = { version: 1, upstreams, default: 'main', routes }
  for (const text of [JSON.stringify(document), JSON.stringify(document, null, 2)]) {
    const known = readTable(text, NAME)
    if (!known.ok) throw new Error(JSON.stringify(known.problems))
    const { table, ...facts } = known
    const edited: readonly (readonly [TableEdit, string])[] = [
      [{ kind: 'route', at: 120, route: { ...routes[120], percent: 101 } }, '/routes/120/percent'],
      [{ kind: 'route', at: 149, route: { ...routes[149], to: 'nobody' } }, '/routes/149/to'],
      [
        { kind: 'route', at: 150, route: { id: 'added', match: { path: '/added' }, to: 'new', priority: 'high' } },
        '/routes/150/priority',
      ],
      [{ kind: 'routes', routes: [{ at: 77, route: { ...routes[77], mach: {} } }] }, '/routes/77/mach'],
      [{ kind: 'servers', upstream: 'new', servers: ['http://b', 'ftp://c'] }, '/upstreams/new/servers/1'],
    ]
    for (const [edit, pointer] of edited) {
      const read = await new TableReader(NAME, { text, facts }).edit(new LiveTable(table, text, 0).current, edit)
      const parsed = readTable(
        editTable(text, (before) => withEdit(before, edit)),
        NAME,
      )
      if (!('ok' in read) || read.ok || parsed.ok) throw new Error('is accepted')
      // Of the whole text, the list would have warnings too.
      expect(read).toMatchObject({ problems: [{ pointer }], more: 0 })
      expect(read.problems).toEqual(parsed.problems.filter(({ severity }) => severity === 'error'))
    }
  }
})

test('routes that are added one by one do not make a text that is too large for a parse', async () => {
  const lines = Array.from({ length: 100 }, (_, at) => `  - { id: r${at}, match: { path: /p${at}/:x }, to: new }\n`)
  const text = `version: 1\nupstreams: { main: { servers: [http://a] }, new: { servers: [http://b] } }\ndefault: main\nroutes:\n${lines.join('')}`
  const known = readTable(text, NAME)
  if (!known.ok) throw new Error(JSON.stringify(known.problems))
  const { table, ...facts } = known
  const before = new LiveTable(table, text, 0).current
  for (const edit of [
    { kind: 'route', at: 100, route: { id: 'added', match: { path: '/added' }, to: 'new' } },
    { kind: 'servers', upstream: 'new', servers: ['http://b', 'http://c'] },
  ] as const) {
    const kinds: string[] = []
    // As if the text had so many more.
    for (const others of [0, MAX_LEXEMES - facts.lexemes - 1000, MAX_LEXEMES - facts.lexemes]) {
      const given = { ...facts, lexemes: facts.lexemes + others }
      const read = await new TableReader(NAME, { text, facts: given }).edit(before, edit)
      if (!('ok' in read) || !read.ok) throw new Error('is refused')
      kinds.push(read.move.kind)
      const parsed = readTable(read.text, NAME)
      if (!parsed.ok) throw new Error('is refused')
      const isCounted = read.move.kind === 'document'
      expect(read.facts.lexemes - (isCounted ? 0 : others)).toBeGreaterThanOrEqual(parsed.lexemes)
      if (isCounted) expect(read.facts.lexemes).toBe(parsed.lexemes)
    }
    expect(kinds).toEqual(['routes', 'routes', 'document'])
  }
})

test('a route that somebody has changed in the text is read alone, one that may meet others is not', async () => {
  const lines = Array.from({ length: 100 }, (_, at) => `  - { id: r${at}, match: { path: /p${at}/:x }, to: new }\n`)
  const text = `version: 1\nupstreams: { main: { servers: [http://a] }, new: { servers: [http://b] } }\ndefault: main\nroutes:\n${lines.join('')}`
  const known = readTable(text, NAME)
  if (!known.ok) throw new Error(JSON.stringify(known.problems))
  const { table, ...facts } = known
  const reader = new TableReader(NAME, { text, facts })
  const read = async (after: string) => await reader.read(new LiveTable(table, text, 0).current, after)
  const moved = await read(text.replace('/p7/:x', '/other/:x'))
  expect(moved).toMatchObject({ ok: true, move: { kind: 'routes', splices: [{ at: 6, gone: 3 }] } })
  expect(await read(text.replace('/p7/:x', '/p8/:y'))).toMatchObject({
    ok: false,
    problems: [{ pointer: '/routes/8/match' }],
  })
})

test.each([
  ['a route indented further than the others', (route: string) => ` ${route}`],
  ['a route indented less', (route: string) => route.slice(1)],
  ['an end of the document among the routes', (route: string) => `${route}...\n`],
  ['a key of the table among the routes', (route: string) => `${route}visitor: { name: v }\n`],
  ['a text that takes in the next route', (route: string) => route.replace('to: new }', 'to: "new }')],
  ['a percent with zeros behind the point', (route: string) => route.replace('percent: 5', 'percent: 6.0')],
])('%s is what it is in the whole text', async (_, change) => {
  const lines = Array.from(
    { length: 100 },
    (_, at) => `  - { id: r${at}, percent: 5, match: { path: /p${at}/:x }, to: new }\n`,
  )
  const head = `version: 1\nupstreams: { main: { servers: [http://a] }, new: { servers: [http://b] } }\ndefault: main\nroutes:\n`
  const text = head + lines.join('')
  const known = readTable(text, NAME)
  if (!known.ok) throw new Error(JSON.stringify(known.problems))
  const { table, ...facts } = known
  for (const at of [0, 50, 99]) {
    const edited = head + lines.with(at, change(lines[at] as string)).join('')
    const read = await new TableReader(NAME, { text, facts }).read(new LiveTable(table, text, 0).current, edited)
    const parsed = readTable(edited, NAME)
    expect(read).toMatchObject(parsed.ok ? { ok: true, text: edited } : { ok: false, problems: parsed.problems })
    if (read.ok && parsed.ok) expect(plain(read.table)).toBe(plain(parsed.table))
  }
})
