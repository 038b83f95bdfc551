/**
 * The documents say what is true: the map lists the files that stand, links lead somewhere, the numbered steps are there.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, test } from 'vitest'
import { mapText } from '../scripts/map.ts'

const ROOT = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

test('docs/background/map.md lists exactly the files of src/ (node scripts/map.ts writes it)', () => {
  expect(read('docs/background/map.md')).toBe(mapText())
})

const documents = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
]

/** The anchors that GitHub gives to the headings of a page. */
function anchorsOf(text: string): string[] {
  return [...text.replaceAll(/^```.*?^```$/gms, '').matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    (heading as string)
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

test.each(documents)('the links of %s lead somewhere', (document) => {
  for (const [, link, anchor] of read(document).matchAll(/\]\(([^)#\s]*)(?:#([^)\s]*))?\)/g)) {
    if (/^[a-z]+:/.test(link as string)) continue
    const target = link === '' ? document : join(dirname(document), link as string)
    expect(existsSync(join(ROOT, target)), `${document} -> ${link}`).toBe(true)
    if (anchor !== undefined) expect(anchorsOf(read(target)), `${document} -> ${link}#${anchor}`).toContain(anchor)
  }
})

test('pages of docs/ that other files name are there', () => {
  const folders = ['src', 'bin', 'scripts', 'deploy', 'gtin-service', 'legacy-mock', 'test']
  const files = [
    ...folders.flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => relative(ROOT, join(entry.parentPath, entry.name))),
    ),
    ...['Dockerfile', 'Makefile', 'routes.yaml', 'README.md', 'package.json'],
  ]
  const missing = files.flatMap((file) =>
    [...read(file).matchAll(/\bdocs\/[\w/-]+\.md\b/g)]
      .filter(([page]) => !existsSync(join(ROOT, page)))
      .map(([page]) => `${file}: ${page}`),
  )
  expect(missing).toEqual([])
})

test.each(documents.filter((document) => document.startsWith('docs/')))(
  'the files that %s names are there',
  (document) => {
    const places: Record<string, string> = { src: '', test: '', scripts: '', deploy: '', bench: '', bin: '' }
    for (const floor of ['rules', 'wire', 'state', 'proxy', 'control', 'cli', 'processes', 'logging'])
      places[floor] = 'src'
    const missing = [...read(document).matchAll(/`([a-z]+)\/([\w./-]*)`/g)]
      .map(([, folder, rest]) => [folder as string, rest as string])
      .filter(
        ([folder, rest]) =>
          (folder as string) in places &&
          !existsSync(join(ROOT, places[folder as string] as string, `${folder}/${rest}`)),
      )
    expect(missing.map((path) => path.join('/'))).toEqual([])
  },
)

test('docs/README.md, the index, links to every page', () => {
  const linked = [...read('docs/README.md').matchAll(/\]\(([^)#\s]+)/g)].map(([, link]) => `docs/${link}`)
  const pages = documents.filter((document) => document.startsWith('docs/') && document !== 'docs/README.md')
  expect(pages.filter((page) => !linked.includes(page))).toEqual([])
})

test('docs/guides/cache.md writes Cache-Status in the order in which banyan does', async () => {
  const { cacheStatus } = await import('../src/rules/caching/status.ts')
  const told = { forwardStatus: 304, stored: true, collapsed: true }
  const all = cacheStatus({ kind: 'forward', reason: 'stale', ...told }, { ttl: 1, key: 'k', detail: 'd' })
  const namesIn = (status: string): string[] =>
    status
      .split(';')
      .slice(1)
      .map((part) => part.replace(/=.*/, ''))
  const examples = [...read('docs/guides/cache.md').matchAll(/\bbanyan(;[a-z-]+(=[^;`\s]+)?)+/g)].map(
    ([status]) => status,
  )
  expect(examples.length).toBeGreaterThan(8)
  for (const example of examples) {
    const names = namesIn(example)
    const order = ['hit', ...namesIn(all)].filter((name) => names.includes(name))
    expect(names, example).toEqual(order)
  }
})

test('gtin-service/README.md lists the files of the folder, each once', () => {
  const [, list] = /^## Reading the code\n([\s\S]*?)^## /m.exec(read('gtin-service/README.md')) as RegExpExecArray
  const rows = (list as string).split('\n').filter((line) => line.startsWith('|'))
  const listed = rows.flatMap((row) =>
    [...(row.split('|')[1] as string).matchAll(/`([^`]+)`/g)].map(([, file]) => file),
  )
  const files = readdirSync(join(ROOT, 'gtin-service'), { recursive: true, encoding: 'utf8' })
  expect(listed.toSorted()).toEqual(files.filter((file) => file.endsWith('.ts')).toSorted())
})

test('the journey names its seven steps in order', () => {
  const text = read('src/proxy/journey.ts')
  const steps = ['listen', 'match', 'decide', 'cache', 'forward', 'answer', 'observe']
  expect(text).toContain(steps.map((step, i) => `${i + 1} ${step}`).join(' -> '))
})

test('README, settings and commands agree', async () => {
  const readme = read('README.md')
  const { settingsHelp } = await import('../src/settings/settings.ts')
  for (const [, flag] of readme.matchAll(/`(--[a-z-]+)/g)) {
    if (flag === '--json' || flag === '--help') continue
    expect(settingsHelp(), flag).toContain(flag)
  }
})
