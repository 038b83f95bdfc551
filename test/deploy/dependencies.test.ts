/** The packages that banyan stands on: which, under which licence, and what they may do when they are installed. */
import { expect, test } from 'vitest'
import { textOf } from './project.ts'

const manifest = JSON.parse(textOf('package.json'))
const locked: Record<string, { license?: string; hasInstallScript?: true }> = JSON.parse(
  textOf('package-lock.json'),
).packages
const page = textOf('docs/background/dependencies.md')

test.each([
  ['At run time', manifest.dependencies],
  ['In development', manifest.devDependencies],
])(
  'docs/background/dependencies.md, %s: each package with its licence, why it is there, and nothing else',
  (heading, asked) => {
    const section = page.split(/^## /m).find((one) => one.startsWith(heading)) ?? ''
    const rows = [...section.matchAll(/^\| `([^`]+)` \| ([^|]+) \| \d[^|]*, \d{4}-\d\d \| [^|]+ \|$/gm)]
    expect(rows.map(([, name, licence]) => [name, licence])).toEqual(
      Object.keys(asked).map((name) => [name, locked[`node_modules/${name}`]?.license]),
    )
  },
)

test('only packages that are named may run scripts when they are installed', () => {
  const withScripts = Object.entries(locked).filter(([, { hasInstallScript }]) => hasInstallScript === true)
  expect(withScripts.map(([path]) => path.replace('node_modules/', ''))).toEqual(Object.keys(manifest.allowScripts))
  expect(textOf('.npmrc')).toContain('strict-allow-scripts=true')
})

test('versions are exact', () => {
  const versions = Object.values<string>({ ...manifest.dependencies, ...manifest.devDependencies })
  expect(versions.filter((version) => !/^(?:npm:[^ ]+@)?\d+\.\d+\.\d+$/.test(version))).toEqual([])
})
