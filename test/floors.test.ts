/**
 * Keeps the house as docs/map.md draws it: import direction, cycles, purity of the rules, package owners, size.
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
const floorOf = (path: string): string => (path.includes('/') ? (path.split('/')[0] as string) : 'top')

/** What each floor may import of the others. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  rules: ['rules'],
  wire: ['wire'],
  state: ['state', 'rules', 'wire'],
  proxy: ['proxy', 'state', 'rules', 'wire'],
  control: ['control', 'state', 'rules'],
  cli: ['cli', 'rules'],
  top: ['top', 'cli', 'proxy', 'control', 'state', 'rules'],
}

/** Packages, and the folders or files that own them. */
const OWNERS: Record<string, readonly string[]> = {
  zod: ['rules/', 'control/'],
  yaml: ['rules/table-text.ts', 'rules/table-edit.ts'],
  'lru-cache': ['state/cache-store.ts'],
  ioredis: ['state/redis-client.ts', 'state/redis-package.ts'],
  koa: ['control/', 'serve.ts', 'mount.ts'],
  'koa-router': ['control/'],
  pino: ['serve.ts', 'log.ts'],
}

/** Files of src/: raise it in the commit that needs it, with a word in docs/decisions. */
const FILE_CAP = 220

const targetOf = (source: Source, specifier: string): string =>
  relative(SRC, normalize(join(SRC, dirname(source.path), specifier)))

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
        const owners = OWNERS[specifier.split('/')[0] as string] ?? []
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

  test('the wire knows node:net and node:tls only', () => {
    for (const { path, imports } of sources.filter((source) => source.path.startsWith('wire/'))) {
      const others = imports.filter((one) => !one.startsWith('.') && one !== 'node:net' && one !== 'node:tls')
      expect(others, path).toEqual([])
    }
  })

  test('nobody imports the command line', () => {
    for (const source of sources) {
      for (const specifier of source.imports) expect(specifier, source.path).not.toMatch(/(^|\/)main\.ts$/)
    }
  })

  test('there are no import cycles, type-only imports included', () => {
    const graph = new Map(
      sources.map((source) => [
        source.path,
        source.imports.filter((one) => one.startsWith('.')).map((one) => targetOf(source, one)),
      ]),
    )
    const done = new Set<string>()
    const visit = (path: string, trail: readonly string[]): void => {
      expect(trail, `${[...trail, path].join(' -> ')}`).not.toContain(path)
      if (done.has(path)) return
      for (const next of graph.get(path) ?? []) visit(next, [...trail, path])
      done.add(path)
    }
    for (const path of graph.keys()) visit(path, [])
  })

  test('the house stays small enough to know', () => {
    expect(sources.length).toBeLessThanOrEqual(FILE_CAP)
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
