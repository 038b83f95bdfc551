/**
 * Where the project is, and its files as values: YAML, units of systemd, durations.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments, parse as parseYaml } from 'yaml'
import { parseDurationMs } from '../../src/rules/values/units.ts'

/** The folder of the project. */
export const PROJECT = join(import.meta.dirname, '../..')

/** The text of a file of the project. */
export function textOf(path: string): string {
  return readFileSync(join(PROJECT, path), 'utf8')
}

/** A YAML file of the project, merge keys (`<<`) taken in. */
export function yamlOf(path: string): unknown {
  return parseYaml(textOf(path), { merge: true })
}

/** Every document of a YAML file of the project. @throws the first mistake in it */
export function documentsOf(path: string): unknown[] {
  return documentsIn(textOf(path))
}

/** Every document of a YAML text. @throws the first mistake in it */
export function documentsIn(text: string): unknown[] {
  return parseAllDocuments(text).map((document) => {
    for (const error of document.errors) throw error
    return document.toJS() as unknown
  })
}

/** A duration in milliseconds, as flags and manifests write it. @throws {Error} where it is none */
export function durationMs(text: string): number {
  const ms = parseDurationMs(text)
  if (ms === null) throw new Error(`${text} is no duration`)
  return ms
}

/** The sections of a systemd unit: section -> key -> every value it is given. */
export function unitOf(path: string): Map<string, Map<string, string[]>> {
  const sections = new Map<string, Map<string, string[]>>()
  let section = new Map<string, string[]>()
  for (const line of textOf(path).split('\n')) {
    const name = /^\[(.+)\]$/.exec(line)?.[1]
    if (name !== undefined) sections.set(name, (section = new Map()))
    else if (line !== '' && !line.startsWith('#')) {
      const [, key, value] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? []
      if (key === undefined || value === undefined) throw new Error(`${path}: ${line}`)
      section.set(key, [...(section.get(key) ?? []), value])
    }
  }
  return sections
}

/** What npm tells its scripts, and would tell an npm below them that has to work in a folder of its own. */
const NOT_FOR_NPM = /^(npm_(?!config_)|npm_config_(local_)?prefix$|INIT_CWD$|NODE_)/

/** The environment for an npm that a test runs in another folder; it takes from npm's cache what is there. */
export function environmentForNpm(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !NOT_FOR_NPM.test(name) && !name.startsWith('BANYAN_'))
  return { ...Object.fromEntries(kept), npm_config_prefer_offline: 'true' }
}
