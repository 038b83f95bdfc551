/**
 * The commands that need no proxy: check, explain --table, force-token, completion, and the help of all.
 */
import { expect, test } from 'vitest'
import { readTable } from '../../src/rules/language/text.ts'
import { utf8Text } from '../../src/rules/values/utf8.ts'
import { Force } from '../../src/state/force-token.ts'
import { banyan, TABLE } from './rig.ts'

const NAMES = [
  'check',
  'explain',
  'routes',
  'set',
  'servers',
  'purge',
  'revisions',
  'restore',
  'force-token',
  'completion',
]
const files = {
  'routes.yaml': TABLE,
  'bad.yaml': TABLE.replace('to: gtin', 'to: gtni').replace('percent: 10', 'percent: ten'),
}

test.each(NAMES)('%s --help tells its usage, its flags and at least one example', async (name) => {
  for (const flag of ['--help', '-h']) {
    const { code, out, err } = await banyan([name, flag])
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(new RegExp(`^banyan ${name} `))
    expect(out).toMatch(/\nExamples:\n {2}\S/)
  }
})

test('in a terminal a help breaks between words, but for examples, and in a pipe nowhere', async () => {
  const [whole, narrow] = [
    await banyan(['revisions', '--help']),
    await banyan(['revisions', '--help'], { terminal: () => ({ columns: 60, rows: 24 }) }),
  ]
  const [text, examples] = narrow.out.split('\nExamples:\n') as [string, string]
  expect(Math.max(...text.split('\n').map(({ length }) => length))).toBeLessThanOrEqual(60)
  expect(text).toMatch(/\n {2}--all {20,22}each on a line of its own, also\n {27}those of one run\n/)
  expect(narrow.out.split(/\s+/)).toEqual(whole.out.split(/\s+/))
  expect(whole.out).toContain(`\nExamples:\n${examples}`)
})

test('a word that is no command is none', async () => {
  expect((await banyan(['chekc'])).code).toBeNull()
})

test.each([
  [['check', '--jsno'], 'unknown flag --jsno (did you mean `--json`?); usage: banyan check [FILE]'],
  [['check', 'a', 'b'], 'wrong number of arguments; usage: banyan check [FILE]'],
  [['set', 'gtin-lookup'], 'missing PERCENT; usage: banyan set ROUTE [PERCENT]'],
  [['set', 'gtin-lookup', 'half'], "invalid percent 'half': must be 0 to 100"],
  [['set', 'gtin-lookup', '101'], "invalid percent '101': must be 0 to 100"],
  [['set', 'gtin-lookup', '-5'], "invalid percent '-5': must be 0 to 100"],
  [['set', 'gtin-lookup', '-5%', '--dry-run'], "invalid percent '-5%': must be 0 to 100"],
  [['servers', 'weight', 'gtin', 'one', '-1'], "invalid weight '-1': must be 1 to 1000"],
  [['set', 'gtin-lookup', '5', '-x'], 'unknown flag -x; usage: banyan set ROUTE [PERCENT] | GROUP PERCENT --group'],
  [['deploy', 'blue-green', 'gtin', 'gtin'], 'FROM and TO are both gtin: there is nothing to switch'],
  [['restore', 'last'], "invalid revision 'last': expected a number"],
  [['revert', '5-3'], "invalid revisions '5-3': the earlier one comes first"],
  [['revert', '5-'], "invalid revision '5-': expected a number"],
  [['explain'], 'missing URL; usage: banyan explain [METHOD] URL'],
  [['explain', 'stores'], "invalid URL 'stores': expected a path or an http URL"],
  [['explain', '/', '-H', 'no colon'], "-H: invalid header 'no colon': expected 'NAME: VALUE'"],
  [['explain', '/', '--chance', '1'], "--chance: invalid value '1': must be from 0 to below 1"],
  [['explain', '/', '--chance'], expect.stringContaining('--chance')],
  [['force-token'], 'missing --upstream NAME'],
  [
    ['force-token', '--upstream', 'gtin', '--for', 'ever'],
    "--for: invalid duration 'ever': must be at least 1s (such as 30m, 1h)",
  ],
  [['force-token', '--upstream', 'gtin'], "set BANYAN_FORCE_SECRET to the proxy's --force-secret"],
  [['completion', 'tcsh'], "unknown shell 'tcsh': must be one of bash, zsh, fish"],
  [['routes', '--admin', 'http://'], expect.stringContaining('invalid admin API address')],
  [
    ['routes', '--admin', '23181'],
    "invalid admin API address '23181': expected HOST:PORT or a URL, such as 127.0.0.1:23181",
  ],
  [
    ['routes', '--admin', ':9081'],
    "invalid admin API address ':9081': expected HOST:PORT or a URL, such as 127.0.0.1:9081",
  ],
  [
    ['routes', '--admin', 'localhost'],
    "invalid admin API address 'localhost': expected HOST:PORT or a URL, such as 127.0.0.1:8081",
  ],
  [['routes', '--admin', 'ftp://x'], expect.stringContaining('invalid admin API address')],
  [['restore', '1', '--reason', 'a\nb'], '--reason must be a single line'],
  [['purge', '--everything', '--reason', 'a\nb'], '--reason must be a single line'],
  [['servers', 'drain', 'gtin', 'one', '--dry-run'], '--dry-run is for banyan servers add, remove and weight'],
  [['shadow', 'start', 'a', '--since', '6h'], '--since is for banyan shadow show'],
  [['shadow', 'show', 'a', '--since', '6'], expect.stringContaining('--since 6: expected a duration')],
  [
    ['shadow', 'start', 'a', '--percent', '-1'],
    expect.stringContaining("--percent needs a value (one that begins with '-' as --percent=-1)"),
  ],
  [['restore', '1', '--if-match', 'é'], "--if-match: invalid ETag 'é' (such as 12-1da041c6b52f)"],
])('%j: one line, exit 2', async (words, message) => {
  const { code, out, err } = await banyan(words)
  expect([code, out]).toEqual([2, ''])
  expect(err.replace(/^banyan: (.*)\n$/s, '$1')).toEqual(message)
  expect(err.trimEnd()).not.toContain('\n')
})

test('check prints each error with its line, a caret and a hint, and how many there are', async () => {
  expect(await banyan(['check'], { files })).toEqual({
    code: 0,
    out: 'routes.yaml: ok, 2 routes, 2 upstreams\n',
    err: '',
  })
  const { code, out, err } = await banyan(['check', 'bad.yaml'], { files })
  expect([code, out]).toEqual([1, ''])
  expect(err).toBe(`bad.yaml:9:9: routes.0.to: unknown upstream "gtni" (did you mean \`gtin\`?)
  9 |     to: gtni
              ^
bad.yaml:16:14: routes.1.percent: expected number, received string
  16 |     percent: ten
                    ^
2 errors
`)
})

test('check colours on a terminal only', async () => {
  const { err } = await banyan(['check', 'bad.yaml'], { files, colours: true })
  expect(err).toContain('\x1b[1mbad.yaml:9:9:\x1b[0m\x1b[31m routes.0.to: unknown upstream')
  expect((await banyan(['check', 'bad.yaml'], { files })).err).not.toContain('\x1b')
})

test('check --json, of a file and of standard input', async () => {
  const { code, out } = await banyan(['check', '-', '--json'], { files: { '-': files['bad.yaml'] } })
  expect(code).toBe(1)
  expect(JSON.parse(out)).toMatchObject({ ok: false, problems: [{ file: 'stdin', line: 9 }, { line: 16 }] })
  expect(JSON.parse((await banyan(['check', '--json'], { files })).out)).toEqual({ ok: true, problems: [], more: 0 })
})

test.each([
  ['UTF-16 with its mark', Buffer.from('\ufeffversion: 1\n', 'utf16le'), 'saved as UTF-16'],
  ['UTF-16 without a mark', Buffer.from('version: 1\n', 'utf16le'), 'saved as UTF-16'],
  ['UTF-16 in the other order', Buffer.from('version: 1\n', 'utf16le').swap16(), 'saved as UTF-16'],
  ['Latin-1', Buffer.from('version: 1\n# Bü\ufffdcher', 'latin1'), 'not valid UTF-8: byte 0xFC in line 2, column 4'],
  [
    'half of a character',
    Buffer.from([...Buffer.from('a: \ufffd1\r\nb: 2'), 0xe2, 0x82]),
    'not valid UTF-8: byte 0xE2 in line 2, column 5',
  ],
])('a file that is no UTF-8 is one line, exit 1: %s', async (_, bytes, said) => {
  const { code, err } = await banyan(['check', 'bytes'], { readFile: () => utf8Text(bytes) })
  expect([code, err]).toEqual([1, `banyan: bytes: ${said} (save it as UTF-8)\n`])
})

test('a file that is not there is one line, exit 1', async () => {
  const { code, err } = await banyan(['check', '/no/such/file'])
  expect(code).toBe(1)
  expect(err).toMatch(/^banyan: \/no\/such\/file: .*\n$/)
})

test('explain --table tells where a request goes, and why each other route lost', async () => {
  const words = [
    'explain',
    'GET',
    'http://shop.test/stores/3/gtins/123456789012',
    '-H',
    'cookie: sid=alice',
    '--table',
    'routes.yaml',
  ]
  expect(
    (await banyan(words, { files })).out,
  ).toBe(`request   GET /stores/3/gtins/123456789012 on shop.test from 127.0.0.1
goes to   gtin: within the percent of the route (percent)
route     gtin-lookup: 50 % to gtin, the rest to legacy
sticky    cookie:sid (used), param:gtin (present)
bucket    40.3303, below 50
fallback  to legacy if gtin fails
cache     not used

candidates
  gtin-lookup  matches
  stores       gtin-lookup is more specific: its path has :storeId where this one has *
`)
})

test('explain shows the request that each side would get, where they are not the same', async () => {
  const table = `version: 1
upstreams: { legacy: { servers: [http://127.0.0.1:1] }, gtin: { servers: [http://127.0.0.1:2] } }
default: legacy
routes:
  - id: a
    match: { path: /stores/:store/gtins/:gtin }
    to: gtin
    rewrite: { path: /v2/:gtin, query: { set: { store: "{param.store}" } }, headers: { set: { x-side: "{side}" } } }
`
  const { out } = await banyan(['explain', '/stores/3/gtins/1?a', '--table', 'rewrite.yaml'], {
    files: { 'rewrite.yaml': table },
  })
  expect(out).toContain(`sent      legacy: GET /stores/3/gtins/1?a
sent      gtin: GET /v2/1?a&store=3
            x-side: to
`)
})

test('explain says how clients are told the side', async () => {
  const table = `version: 1
upstreams: { legacy: { servers: [http://127.0.0.1:1] }, gtin: { servers: [http://127.0.0.1:2] } }
default: legacy
routes: [{ id: a, match: { path: /a }, to: gtin, tellSide: cookie }]
`
  const { out } = await banyan(['explain', '/a', '--table', 'tells.yaml'], { files: { 'tells.yaml': table } })
  expect(out).toContain('tells     clients the side by cookie\n')
})

test('explain takes a method, an address and a draw', async () => {
  const { out } = await banyan(
    ['explain', 'POST', '/stores/3', '--client', '10.1.2.3', '--chance', '0.05', '--table', 'routes.yaml', '--json'],
    { files },
  )
  expect(JSON.parse(out)).toMatchObject({
    request: { method: 'POST', target: '/stores/3', clientAddress: '10.1.2.3', chance: 0.05 },
    decision: { routeId: 'stores', upstream: 'gtin', bucket: 5, percent: 10 },
    otherRoutes: 0,
  })
  expect((await banyan(['explain', '/a//b', '--table', 'routes.yaml'], { files })).out).toContain(
    'legacy: ambiguous path',
  )
  expect((await banyan(['explain', '/', '--table', 'bad.yaml'], { files })).code).toBe(1)
})

test('nothing that a request holds reaches the terminal as a control sequence', async () => {
  const { out } = await banyan(['explain', '/\u009b31mx', '--table', 'routes.yaml'], { files })
  expect(out).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/)
})

test('force-token --link makes a link with a token, and the page to go on to', async () => {
  const env = { BANYAN_FORCE_SECRET: 'a secret of some length' }
  const options = ['force-token', '--upstream', 'gtin', '--link']
  const { out } = await banyan([...options, 'https://shop.test:8443/stores/3?a=1&b'], { env })
  const url = new URL(out.trim())
  expect(url.origin + url.pathname).toBe('https://shop.test:8443/.well-known/banyan/force')
  expect([url.searchParams.get('upstream'), url.searchParams.get('to')]).toEqual(['gtin', '/stores/3?a=1&b'])
  expect(url.searchParams.get('token')).toMatch(/^\d+\.[\w-]{43}$/)
  expect((await banyan([...options, 'shop.test/a'], { env })).err).toContain("--link: invalid URL 'shop.test/a'")
})

test('force-token makes a token that the proxy takes, until it expires', async () => {
  const env = { BANYAN_FORCE_SECRET: 'a secret of some length' }
  const options = ['force-token', '--upstream', 'gtin', '--quiet']
  const ofFile = { BANYAN_FORCE_SECRET: 'a secret of some length\n' }
  expect((await banyan(options, { env: ofFile })).out).toBe((await banyan(options, { env })).out)
  const read = readTable(TABLE, 'routes.yaml')
  const table = read.ok ? read.table : null
  const { out, err } = await banyan(['force-token', '--upstream', 'gtin', '--for', '10m'], { env })
  expect(err).toBe('valid for 10m, until 1970-01-01T00:26:40.000Z\n')
  const rawHeaders = out
    .trimEnd()
    .split('\n')
    .flatMap((line) => line.split(': '))
  const view = { method: 'GET', target: '/', host: '', rawHeaders, clientAddress: '::1', chance: 0 }
  let refused = 0
  const force = new Force(env.BANYAN_FORCE_SECRET, () => refused++)
  expect(force.upstreamFor(view, table!, 1_599_999)).toBe('gtin')
  expect(force.upstreamFor(view, table!, 1_600_000)).toBeNull()
  expect(refused).toBe(1)
  const { token } = JSON.parse((await banyan(['force-token', '--upstream', 'gtin', '--json'], { env })).out)
  expect((await banyan(['force-token', '--upstream', 'gtin', '-q'], { env })).out).toBe(`${token}\n`)
})

test('force-token refuses a secret that the proxy would refuse', async () => {
  const env = { BANYAN_FORCE_SECRET: 'fifteen letters' }
  expect(await banyan(['force-token', '--upstream', 'gtin'], { env })).toEqual({
    code: 2,
    out: '',
    err: 'banyan: BANYAN_FORCE_SECRET: must have at least 16 characters\n',
  })
})
