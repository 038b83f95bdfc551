/**
 * Whatever is sent: no body and no text crashes the admin API or gets a 500, and none of it takes effect by half.
 */
import { writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type AdminRig, type Ask, adminRig, TABLE } from '../rig.ts'

let at: AdminRig

beforeEach(async () => {
  at = await adminRig()
})
afterEach(async () => {
  // Whatever came before, it works as ever.
  const { etag } = at.live.current
  const reply = await at.ask('GET', '/routes')
  expect([reply.status, reply.headers.etag]).toEqual([200, etag])
  expect(at.lines.filter(({ fields }) => fields.event === 'admin-failed')).toEqual([])
  await at.close()
})

const yaml = (body: string | Buffer): Ask => ({ body, headers: { 'Content-Type': 'application/yaml' } })
const json = (body: string | Buffer): Ask => ({ body, headers: { 'Content-Type': 'application/json' } })

/** A route as it might be, with parts that it can't have. */
const likeRoute = fc.record(
  {
    id: fc.oneof(fc.constantFrom('gtin-lookup', 'search', 'new', '', 'a b'), fc.anything()),
    match: fc.oneof(
      fc.record({ path: fc.oneof(fc.constantFrom('/x', '/x/:y', 'x', '/*'), fc.string()) }),
      fc.anything(),
    ),
    to: fc.oneof(fc.constantFrom('gtin', 'legacy', 'gtni'), fc.anything()),
    percent: fc.oneof(fc.double(), fc.integer(), fc.anything()),
    sticky: fc.oneof(fc.constantFrom('ip', 'cookie:sid', ['ip', 'request']), fc.anything()),
    fallback: fc.anything(),
    cache: fc.anything(),
  },
  { requiredKeys: [] },
)

test('random JSON bodies are answered, and never with a 500', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc
        .oneof(likeRoute, fc.anything())
        .map((value) => JSON.stringify(value, (_, one) => (typeof one === 'bigint' ? 1 : one)) ?? 'null'),
      fc.constantFrom(
        ...([
          'POST /routes',
          'PUT /routes/new',
          'PATCH /routes/search',
          'POST /explain',
          'POST /revisions/1/restore',
        ] as const),
      ),
      async (body, operation) => {
        const [method, path] = operation.split(' ') as [string, string]
        const { status, text } = await at.ask(method, path, json(body))
        expect([200, 201, 400, 409, 413, 422], `${operation} ${body} -> ${text}`).toContain(status)
        expect(await at.text()).toBe(at.live.current.text)
      },
    ),
    { numRuns: 300 },
  )
})

test('random bytes are no JSON, and no reason to fall', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      const { status } = await at.ask('PATCH', '/routes/search', json(Buffer.from(bytes)))
      expect([200, 400, 422]).toContain(status)
    }),
    { numRuns: 150 },
  )
})

test('random edits of a good text are put in force or refused with their places', async () => {
  const lines = TABLE.split('\n')
  const edit = fc.record({
    at: fc.nat(lines.length - 1),
    put: fc.oneof(
      fc.constantFrom(
        '',
        '- x',
        '  ',
        '\t',
        '}',
        '&a [*a]',
        'percent: 500',
        'routes: []',
        '? [a]: b',
        '<<: *x',
        '--- ',
        '!!js/function x',
        '"',
      ),
      fc.string(),
    ),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
      const text = edits.reduce((all, { at: line, put }) => all.with(line, put), lines).join('\n')
      const { status, json: said } = await at.ask('PUT', '/routes.yaml', yaml(text))
      expect([200, 422]).toContain(status)
      if (status === 200) expect(await at.text()).toBe(text)
      else
        for (const problem of said.problems)
          expect(problem).toMatchObject({ line: expect.any(Number), column: expect.any(Number) })
    }),
    { numRuns: 200 },
  )
})

const bomb = Array.from(
  { length: 30 },
  (_, level) => `l${level}: &l${level} [${level === 0 ? 'x' : `*l${level - 1}, *l${level - 1}, *l${level - 1}`}]`,
).join('\n')

test.each([
  ['a bomb of aliases', bomb],
  ['brackets in brackets', '['.repeat(200_000)],
  ['braces in braces', '{a: '.repeat(100_000)],
  [
    'a list that is deep by indentation',
    Array.from({ length: 3000 }, (_, depth) => `${' '.repeat(depth)}-`).join('\n'),
  ],
  ['a long run of anchors', '&a '.repeat(100_000)],
  ['7 MiB of comments', `${'# comment\n'.repeat(700_000)}`],
  [
    'routes that nothing tells apart',
    `version: 1\nupstreams: { l: { servers: [http://a.test] } }\ndefault: l\nroutes:\n${'  - { id: a, match: { path: /a }, to: l }\n'.repeat(2000)}`,
  ],
  ['NUL', '\0'],
  ['lone surrogates and the like', Buffer.from([0xed, 0xa0, 0x80])],
])(
  '%s: refused in time',
  async (_, text) => {
    const { status } = await at.ask('PUT', '/routes.yaml', yaml(text))
    expect([400, 422]).toContain(status)
  },
  // Not a measurement: a bomb that goes off takes hours.
  300_000,
)

test('10 MB over the API get 413; in the file they are refused or taken, and nothing falls', async () => {
  const large = `${TABLE}\n${'# comment\n'.repeat(1_000_000)}`
  expect((await at.ask('PUT', '/routes.yaml', yaml(large))).status).toBe(413)
  await writeFile(at.path, large)
  const { status } = await at.ask('PATCH', '/routes/search', { body: { percent: 3 } })
  expect([200, 409]).toContain(status)
})

test('odd paths, queries and header fields are answered', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('GET', 'PUT', 'PATCH', 'POST', 'DELETE', 'OPTIONS', 'HEAD'),
      fc.constantFrom('routes', 'revisions', 'upstreams', 'exchanges', 'explain', 'metrics', ''),
      fc.webPath(),
      fc.string({ unit: fc.constantFrom(...'"*,W/ab1 -') }),
      async (method, first, rest, tag) => {
        const headers = { 'If-Match': tag, 'Banyan-Reason': tag, 'Content-Type': 'application/json' }
        const { status } = await at.ask(method, `/${first}${rest}?dryRun=true`, {
          headers,
          ...(method === 'GET' || method === 'HEAD' ? {} : { body: '{}' }),
        })
        expect(status).not.toBe(500)
      },
    ),
    { numRuns: 200 },
  )
})
