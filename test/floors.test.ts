/**
 * Keeps the house as docs/background/map.md draws it: import direction between floors and rooms, cycles, purity of the rules, package owners.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { describe, expect, test } from 'vitest'

const SRC = join(import.meta.dirname, '../src')

interface Source {
  /** Path below src/, with `/`. */
  readonly path: string
  readonly text: string
  readonly imports: readonly string[]
}

function sourcesBelow(folder: string): Source[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => {
      const text = readFileSync(join(folder, path), 'utf8')
      const imports = [...text.matchAll(/^\s*(?:import|export)\b[^'"]*?from '([^']+)'|^import '([^']+)'/gm)].map(
        (found) => found[1] ?? (found[2] as string),
      )
      return { path, text, imports }
    })
}

const sources = sourcesBelow(SRC)
const WIRING = ['processes', 'logging', 'settings']

/** The floor of a file: its first folder; what wires the floors together is the top. */
function floorOf(path: string): string {
  const folder = path.split('/')[0] as string
  return path.includes('/') && !WIRING.includes(folder) ? folder : 'top'
}

/** The room of a file: its folder; a file that lies directly on its floor is a room of its own. */
const roomOf = (path: string): string => (path.split('/').length > 2 ? dirname(path) : path)

/** What each floor may import of the others. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  rules: ['rules'],
  wire: ['wire'],
  state: ['state', 'rules', 'wire'],
  proxy: ['proxy', 'state', 'rules', 'wire'],
  control: ['control', 'answers', 'state', 'rules'],
  answers: ['answers'],
  cli: ['cli', 'answers', 'rules'],
  page: ['page', 'answers'],
  top: ['top', 'cli', 'proxy', 'control', 'state', 'rules', 'wire'],
}

/** Packages, and the folders or files that own them. */
const OWNERS: Record<string, readonly string[]> = {
  preact: ['page/'],
  htm: ['page/'],
  uplot: ['page/'],
  zod: ['rules/', 'control/'],
  'ipaddr.js': ['rules/patterns/address.ts'],
  'jsonc-parser': ['control/http/json-text.ts'],
  diff: ['rules/language/text-diff.ts'],
  yaml: [
    'rules/language/text.ts',
    'rules/language/edit.ts',
    'rules/language/parse.ts',
    'rules/language/number-places.ts',
    'rules/language/route-places.ts',
  ],
  'lru-cache': ['state/caching/store.ts'],
  'acme-client': ['control/acme/order-thread.ts'],
  ioredis: ['state/redis/client.ts', 'state/redis/connect.ts', 'state/redis/package.ts', 'state/redis/sentinels.ts'],
  koa: ['control/', 'serve.ts', 'mount.ts'],
  'koa-router': ['control/'],
  pino: ['serve.ts', 'logging/', 'processes/'],
}

/** `diff` for `diff/lib/...`. */
const packageOf = (specifier: string): string => /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] as string

const targetOf = (source: Source, specifier: string): string =>
  relative(SRC, normalize(join(SRC, dirname(source.path), specifier)))

/** Fails with the way round where the imports between places (files, or rooms of files) lead back to where they began. */
function expectNoCycles(placeOf: (path: string) => string): void {
  const graph = new Map<string, Set<string>>()
  for (const source of sources) {
    const from = placeOf(source.path)
    const targets = graph.get(from) ?? new Set()
    graph.set(from, targets)
    for (const one of source.imports.filter((specifier) => specifier.startsWith('.'))) {
      const to = placeOf(targetOf(source, one))
      if (to !== from || from === source.path) targets.add(to)
    }
  }
  const done = new Set<string>()
  const visit = (place: string, trail: readonly string[]): void => {
    expect(trail, [...trail, place].join(' -> ')).not.toContain(place)
    if (done.has(place)) return
    for (const next of graph.get(place) ?? []) visit(next, [...trail, place])
    done.add(place)
  }
  for (const place of graph.keys()) visit(place, [])
}

describe('floors', () => {
  test.each(sources.map((source) => [source.path, source] as const))(
    '%s imports only what lies below it',
    (_, source) => {
      for (const specifier of source.imports.filter((one) => one.startsWith('.'))) {
        const floor = floorOf(targetOf(source, specifier))
        expect(MAY_IMPORT[floorOf(source.path)], `${source.path} -> ${specifier}`).toContain(floor)
      }
    },
  )

  test('packages are imported by their owners only', () => {
    for (const source of sources) {
      for (const specifier of source.imports.filter((one) => !one.startsWith('.') && !one.startsWith('node:'))) {
        const owners = OWNERS[packageOf(specifier)] ?? []
        expect(
          owners.some((owner) => source.path.startsWith(owner)),
          `${source.path} -> ${specifier}`,
        ).toBe(true)
      }
    }
  })

  test('rules are pure: no node modules, no clock, no chance, no timers, no process', () => {
    for (const { path, text, imports } of sources.filter((source) => source.path.startsWith('rules/'))) {
      expect(
        imports.filter((one) => one.startsWith('node:')),
        path,
      ).toEqual([])
      const code = text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
      expect(code, path).not.toMatch(
        /\bDate\.now\b|\bnew Date\(|\bDate\.parse\b|Math\.random|\bset(Timeout|Interval|Immediate)\b|\bprocess\.|\bperformance\b/,
      )
    }
  })

  test('the wire knows node:net and node:tls only, and node:http2 where it speaks that', () => {
    for (const { path, imports } of sources.filter((source) => source.path.startsWith('wire/'))) {
      const modules = ['node:net', 'node:tls', ...(path.startsWith('wire/http2/') ? ['node:http2'] : [])]
      const others = imports.filter((one) => !one.startsWith('.') && !modules.includes(one))
      expect(others, path).toEqual([])
    }
  })

  test('of the data plane, only what speaks with clients knows sockets and servers', () => {
    const sockets = ['node:net', 'node:tls', 'node:http', 'node:https', 'node:http2']
    for (const { path, imports } of sources.filter((source) => source.path.startsWith('proxy/'))) {
      if (path.startsWith('proxy/client/')) continue
      expect(
        imports.filter((one) => sockets.includes(one)),
        path,
      ).toEqual([])
    }
  })

  test('nobody imports the command line', () => {
    for (const source of sources) {
      for (const specifier of source.imports) expect(specifier, source.path).not.toMatch(/(^|\/)main\.ts$/)
    }
  })

  test('there are no import cycles, type-only imports included', () => {
    expectNoCycles((path) => path)
  })

  test('the rooms of a floor import one way', () => {
    expectNoCycles(roomOf)
  })

  test('each file says in its first lines what it is', () => {
    for (const { path, text } of sources) expect(text, path).toMatch(/^\/\*\*\n \* \S/)
  })
})

describe('the programs beside the proxy', () => {
  test('legacy-mock and gtin-service import nothing of src/', () => {
    for (const folder of ['legacy-mock', 'gtin-service']) {
      for (const source of sourcesBelow(join(SRC, '..', folder))) {
        for (const specifier of source.imports) expect(specifier, source.path).not.toMatch(/\/src\//)
      }
    }
  })
})
