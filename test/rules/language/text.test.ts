/** Reading routes.yaml: every problem with its place (golden tables), and texts of every kind. */
import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatProblem, formatProblems, readTable } from '../../../src/rules/language/text.ts'
import { nearestWord } from '../../../src/rules/values/problem.ts'

const TABLES = new URL('../../tables/', import.meta.url)
const RULE = '# ---\n'

const problemsIn = (read: ReturnType<typeof readTable>) => (read.ok ? read.warnings : read.problems)
const problemsOf = (text: string) => problemsIn(readTable(text, 'routes.yaml'))

describe('golden tables', () => {
  const files = readdirSync(TABLES).filter((name) => name.endsWith('.yaml'))

  test('at least eighty of them are invalid', () => {
    const invalid = files.filter((name) => {
      const golden = readFileSync(new URL(name, TABLES), 'utf8')
      return !readTable(golden.slice(0, golden.lastIndexOf(RULE)), 'routes.yaml').ok
    })
    expect(invalid.length).toBeGreaterThanOrEqual(80)
  })

  test.each(files)('%s', (name) => {
    const golden = readFileSync(new URL(name, TABLES), 'utf8')
    const rule = golden.lastIndexOf(RULE)
    const expected = golden.slice(rule + RULE.length).replace(/^# /gm, '')
    const read = readTable(golden.slice(0, rule), 'routes.yaml')
    const problems = problemsIn(read)
    expect(problems.map((problem) => `${formatProblem(problem)}\n`).join('')).toBe(expected)
    expect(read.ok).toBe(!problems.some(({ severity }) => severity === 'error'))
  })
})

const EXAMPLE = readFileSync(new URL('ok-design-example.yaml', TABLES), 'utf8')

describe('problems', () => {
  test('carry a JSON Pointer, and print the source line with a caret', () => {
    const text = EXAMPLE.replace('servers: [http://127.0.0.1:4001]', 'servers: [127.0.0.1:4001]')
    const [problem] = problemsOf(text)
    expect(problem).toMatchObject({ line: 5, column: 15, pointer: '/upstreams/legacy/servers/0', severity: 'error' })
    expect(formatProblems(problem ? [problem] : [], text)).toBe(
      'routes.yaml:5:15: upstreams.legacy.servers.0: expected an http or https origin such as http://127.0.0.1:4001 (write http://127.0.0.1:4001)\n' +
        '  5 |     servers: [127.0.0.1:4001]\n' +
        '                    ^\n',
    )
  })

  test('a pointer escapes what a key may hold, and a message holds nothing that a terminal obeys', () => {
    const [problem] = problemsOf('"a/~\\e[2J": 1\nversion: 1\nupstreams: {l: {servers: [http://l]}}\ndefault: l\n')
    expect(problem?.pointer).toBe('/a~1~0\x1b[2J')
    expect(problem && formatProblem(problem)).toBe(
      'routes.yaml:1:1: a/~ [2J: unknown key (known keys: version, upstreams, default, visitor, routes)',
    )
  })

  test('a long line is cut around its place', () => {
    const text = `{"version": 1, "upstreams": {${'"x": 1, '.repeat(100)} "y": 2}}`
    const printed = formatProblems(problemsOf(text), text)
    for (const line of printed.split('\n').filter((each) => each.startsWith('  ')))
      expect(line.length).toBeLessThan(200)
  })
})

test.each([
  ['a list in brackets', 'sticky: [cookie:sid,\n      ip]'],
  ['a map in brackets', 'fallback: {\n        on: [502],\n      }'],
  ['a text in quotes', 'sticky: ["cookie:sid", "i\\\n        p"]'],
])('%s over several lines does not hide the line with the wrong indentation', (_, said) => {
  const route = (id: string, more = '') => `  - { id: ${id}, match: { path: /${id} }, to: main${more} }\n`
  const text = `version: 1\nupstreams: { main: { servers: [http://a] } }\ndefault: main\nroutes:\n${route('a', `, ${said}`)}${route('b')} ${route('c')}`
  const read = readTable(text, 'routes.yaml')
  const line = text.split('\n').findIndex((one) => one.startsWith('   - ')) + 1
  expect(read).toMatchObject({
    ok: false,
    problems: [{ line, column: 4, message: expect.stringContaining('wrong indentation') }],
  })
})

describe('one mistake in any line of a table is one error', () => {
  const keyed = /^( *(?:- )?)([a-zA-Z]+): /
  const MISTAKES: Readonly<Record<string, (line: string) => string>> = {
    'a tab': (line) => line.replace(/^ +/, '\t'),
    'a space too many': (line) => line.replace(/^ +\S/, ' $&'),
    'a space too few': (line) => line.replace(/^ ( *\S)/, '$1'),
    'no space behind the colon': (line) => line.replace(keyed, '$1$2:'),
    'no colon': (line) => line.replace(keyed, '$1$2 '),
    'no colon at the end': (line) => line.replace(/^( *[a-z]+):(?= *(?:#|$))/, '$1'),
    'an equals sign': (line) => line.replace(keyed, '$1$2 = '),
    'no closing brace': (line) => line.replace(' }', ''),
    'no closing bracket': (line) => line.replace(']', ''),
    'no opening brace': (line) => line.replace('{ ', ''),
    'no opening bracket': (line) => line.replace('[', ''),
    'a quote': (line) => line.replace(/: (?=[a-z/])/, ': "'),
    'no dash': (line) => line.replace(/^( *)- /, '$1  '),
  }

  test.each(Object.keys(MISTAKES))('%s', (name) => {
    for (const text of [EXAMPLE, EXAMPLE.replaceAll('\n', '\r\n')]) {
      const lines = text.split('\n')
      for (const [at, line] of lines.entries()) {
        if (/^ *#/.test(line)) continue
        const edited = lines.toSpliced(at, 1, (MISTAKES[name] as (line: string) => string)(line)).join('\n')
        if (edited === text) continue
        const read = readTable(edited, 'routes.yaml')
        if (read.ok) continue
        expect(read.problems, formatProblems(read.problems, edited)).toHaveLength(1)
      }
    }
  })
})

describe('texts of every kind', () => {
  /** @returns whether it is a table */
  function expectSane(text: string): boolean {
    const read = readTable(text, 'routes.yaml')
    const problems = read.ok ? read.warnings : read.problems
    if (!read.ok) expect(problems.some(({ severity }) => severity === 'error')).toBe(true)
    const lines = text.split(/\r\n|\n|\r/).length
    for (const problem of problems) {
      expect(problem.line).toBeGreaterThanOrEqual(1)
      expect(problem.line).toBeLessThanOrEqual(lines)
      expect(problem.column).toBeGreaterThanOrEqual(1)
    }
    expect(typeof formatProblems(problems, text)).toBe('string')
    return read.ok
  }

  test('random text is answered, never thrown at', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), yamlish), (text) => void expectSane(text)),
      { numRuns: 500 },
    )
  })

  test('a table with random edits is answered, never thrown at', () => {
    const edit = fc.tuple(fc.nat(EXAMPLE.length), fc.nat(40), fc.oneof(yamlish, fc.constant('')))
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        expectSane(edits.reduce((text, [at, cut, put]) => text.slice(0, at) + put + text.slice(at + cut), EXAMPLE))
      }),
      { numRuns: 500 },
    )
  })

  test.each<[string, string]>([
    ['a million brackets', '['.repeat(1_000_000)],
    ['ten thousand maps', `${'{a: '.repeat(10_000)}`],
    ['deep block lists', '- '.repeat(5_000)],
    ['explicit keys in explicit keys', '? '.repeat(100_000)],
    ['two million line breaks', '\n'.repeat(2_000_001)],
    ['twenty thousand unknown keys', Array.from({ length: 20_000 }, (_, i) => `k${i}: 1\n`).join('')],
    ['twenty thousand aliases of nothing', `[${'*a, '.repeat(20_000)}]`],
    [
      'twenty thousand anchors, each with an alias',
      Array.from({ length: 20_000 }, (_, i) => `a${i}: &a${i} 1\nb${i}: *a${i}\n`).join(''),
    ],
    ['an alias of itself', 'version: 1\nupstreams: &a { legacy: *a }\ndefault: legacy\n'],
    ['a list that holds itself', '&a [*a]'],
    ['only a BOM', '\uFEFF'],
    ['a NUL', '\0'],
    ['lone surrogates', 'version: \ud800'],
    ['a million spaces', ' '.repeat(1_000_000)],
  ])('%s', (_name, text) => {
    expect(expectSane(text)).toBe(false)
  })

  test('CRLF and a BOM are tolerated', () => {
    expect(readTable(`\uFEFF${EXAMPLE.replaceAll('\n', '\r\n')}`, 'routes.yaml').ok).toBe(true)
  })

  test('ten thousand routes are read, and ten thousand repeated keys found', () => {
    const head = 'version: 1\nupstreams:\n  legacy: { servers: [http://127.0.0.1:4001] }\ndefault: legacy\nroutes:\n'
    const route = (i: number) => `  - { id: r${i}, match: { path: /a, headers: { x-tenant: t${i} } }, to: legacy }\n`
    const read = readTable(head + Array.from({ length: 10_000 }, (_, i) => route(i)).join(''), 'routes.yaml')
    expect(read.ok && read.table.routes.length).toBe(10_000)
    const repeated = readTable('a: 1\n'.repeat(10_001), 'routes.yaml')
    expect(repeated.ok || repeated.problems.length + repeated.more).toBeGreaterThanOrEqual(10_000)
  })
})

const yamlish = fc
  .array(
    fc.constantFrom(
      '\n',
      '\r\n',
      '  ',
      '\t',
      ': ',
      '- ',
      '[',
      ']',
      '{',
      '}',
      ', ',
      '# ',
      '"',
      "'",
      '&a ',
      '*a',
      '!t ',
      '|\n',
      '>\n',
      '? ',
      '---\n',
      '...\n',
      '%',
      '@',
      'version',
      'upstreams',
      'routes',
      'match',
      'percent',
      'legacy',
      '__proto__',
      '<<',
      '1',
      '.nan',
      '~',
      'true',
      'ż',
      '\0',
      '\uFEFF',
    ),
    { maxLength: 40 },
  )
  .map((pieces) => pieces.join(''))

describe('many problems', () => {
  const upstreams = 'upstreams: { l: { servers: [http://l] } }\ndefault: l\n'
  const routes = (count: number, more: string) =>
    `routes:\n${Array.from({ length: count }, (_, n) => `  - { id: r${n}, match: { path: /p${n} }, ${more} }\n`).join('')}`

  test('the first hundred are told, in the order of the text, and the rest is counted', () => {
    const read = readTable(`version: 1\n${upstreams}${routes(250, 'to: k')}`, 'routes.yaml')
    const problems = read.ok ? [] : read.problems
    expect(read.more).toBe(150)
    expect(problems.map(({ line }) => line)).toEqual(Array.from({ length: 100 }, (_, n) => n + 5))
    expect(formatProblems(problems, '', read.more).endsWith('\nand 150 more\n')).toBe(true)
  })

  test('a warning takes no place of an error', () => {
    const read = readTable(`version: 1\n${upstreams}${routes(250, 'to: l, percent: 1')}  - 1\n`, 'routes.yaml')
    expect(read).toMatchObject({ ok: false, more: 151 })
    expect(read.ok || read.problems.filter(({ severity }) => severity === 'error')).toHaveLength(1)
  })

  test('warnings of a table that is taken are bounded too', () => {
    const read = readTable(`version: 1\n${upstreams}${routes(250, 'to: l, percent: 1')}`, 'routes.yaml')
    expect(read).toMatchObject({ ok: true, more: 150 })
    expect(read.ok && read.warnings).toHaveLength(100)
  })

  test('what the parser finds is bounded, and a long word in an alias is not repeated whole', () => {
    const syntax = readTable(`version: 1\n${'a: 1\n'.repeat(300)}`, 'routes.yaml')
    expect(syntax.ok || syntax.problems.length).toBe(100)
    const word = 'x'.repeat(10_000)
    const aliases = Array.from({ length: 50 }, (_, n) => `  - { id: r${n}, match: { path: /${n} }, to: *w }\n`)
    const text = `version: 1\nupstreams: { l: { servers: [http://l], host: &w ${word} } }\ndefault: l\nroutes:\n${aliases.join('')}`
    expect(formatProblems(problemsOf(text), '').length).toBeLessThan(100_000)
  })
})

test('what was meant is looked for among a bounded number of words', () => {
  function* words(): Iterable<string> {
    for (let n = 0; ; n++) yield n % 2 === 0 ? 'x' : `upstream-${n}`
  }
  expect(nearestWord('upstraem-1', words())).toBe('upstream-1')
  expect(nearestWord('y'.repeat(300), words())).toBe(undefined)
})
