/**
 * deploy/systemd/: the units' commands are ones that the programs take, their times fit, their containment is there.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readCommandLine } from '../../gtin-service/settings.ts'
import { readSettings } from '../../src/settings.ts'
import { durationMs, PROJECT, textOf, unitOf } from './project.ts'

const UNITS = ['deploy/systemd/banyan@.service', 'deploy/systemd/gtin-service@.service']

/** NAME=value lines of an environment file. */
function environmentOf(path: string): Record<string, string> {
  const lines = textOf(path).split('\n')
  return Object.fromEntries(lines.filter((line) => /^[A-Z_]+=/.test(line)).map((line) => line.split('=', 2)))
}

/** The one value of a key of [Service]. */
function service(unit: string, key: string): string {
  const values = unitOf(unit).get('Service')?.get(key) ?? []
  expect(values, `${unit}: ${key}`).toHaveLength(1)
  return values[0] as string
}

test.each(UNITS)('%s runs an unprivileged program of this project, contained', (unit) => {
  const [node, file] = service(unit, 'ExecStart').split(' ')
  expect(node).toBe('/usr/bin/node')
  expect(existsSync(join(PROJECT, (file as string).replace('/opt/banyan/', '')))).toBe(true)
  expect(service(unit, 'User')).toMatch(/^(banyan|gtin)$/)
  expect(service(unit, 'NoNewPrivileges')).toBe('yes')
  expect(service(unit, 'ProtectSystem')).toBe('strict')
  expect(service(unit, 'CapabilityBoundingSet')).toBe('')
  expect(unitOf(unit).get('Service')?.has('MemoryDenyWriteExecute')).toBe(false)
})

test.each(['blue', 'green'])('banyan@%s: its settings are taken, and it has time to drain', (instance) => {
  const [unit] = UNITS as [string]
  const values = unitOf(unit).get('Service')?.get('Environment') ?? []
  const env = Object.fromEntries(values.map((value) => value.split('=', 2)))
  const args = service(unit, 'ExecStart').split(' ').slice(3)
  const settings = readSettings(args, { ...env, ...environmentOf(`deploy/systemd/${instance}.env`) })
  expect(durationMs(service(unit, 'TimeoutStopSec'))).toBeGreaterThan(settings.drainDelayMs + settings.drainTimeoutMs)
  expect(settings.table.startsWith(service(unit, 'ReadWritePaths'))).toBe(true)
  expect(service(unit, 'ExecStartPre')).toContain(`check ${settings.table}`)
  expect(service(unit, 'EnvironmentFile')).toBe('/etc/banyan/%i.env')
  expect(settings.admin.host).toBe('127.0.0.1')
})

test('blue and green have ports of their own', () => {
  const addresses = ['blue', 'green'].flatMap((name) => Object.values(environmentOf(`deploy/systemd/${name}.env`)))
  expect(new Set(addresses).size).toBe(4)
})

test('gtin-service@PORT: its flags are taken, and it has time to drain', () => {
  const unit = UNITS[1] as string
  const args = service(unit, 'ExecStart').replaceAll('%i', '4002').replaceAll('%H', 'host').split(' ').slice(2)
  const asked = readCommandLine(args)
  if (asked.kind !== 'run') throw new Error(JSON.stringify(asked))
  const { port, name, drainDelayMs, drainTimeoutMs } = asked.settings
  expect([port, name]).toEqual([4002, 'host-4002'])
  expect(durationMs(service(unit, 'TimeoutStopSec'))).toBeGreaterThan(drainDelayMs + drainTimeoutMs)
})
