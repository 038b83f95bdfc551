/**
 * The documents say what is true: the map lists the files that stand, links lead somewhere, the numbered steps are there.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { mapText } from '../scripts/map.ts'

const ROOT = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

test('docs/map.md lists exactly the files of src/ (node scripts/map.ts writes it)', () => {
  expect(read('docs/map.md')).toBe(mapText())
})

const documents = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
]

test.each(documents)('the links of %s lead somewhere', (document) => {
  for (const [, link] of read(document).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
    if (/^[a-z]+:/.test(link as string)) continue
    expect(existsSync(join(ROOT, dirname(document), link as string)), `${document} -> ${link}`).toBe(true)
  }
})

test('the journey names its seven steps in order', () => {
  const text = read('src/proxy/journey.ts')
  const steps = ['listen', 'match', 'decide', 'cache', 'forward', 'answer', 'observe']
  expect(text).toContain(steps.map((step, i) => `${i + 1} ${step}`).join(' -> '))
})

test('README, settings and commands agree', async () => {
  const readme = read('README.md')
  const { settingsHelp } = await import('../src/settings.ts')
  for (const [, flag] of readme.matchAll(/`(--[a-z-]+)/g)) {
    if (flag === '--json' || flag === '--help') continue
    expect(settingsHelp(), flag).toContain(flag)
  }
})
