/**
 * deploy/systemd/: the units' commands are ones that the programs take, their times fit, their containment is there.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { readCommandLine } from '../../gtin-service/settings.ts'
import { readSyncCommandLine } from '../../gtin-service/sync/main.ts'
import { findProgram } from '../../scripts/need-tools.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { durationMs, PROJECT, textOf, unitOf } from './project.ts'

const UNITS = [
  'deploy/systemd/banyan@.service',
  'deploy/systemd/gtin-service@.service',
  'deploy/systemd/gtin-sync.service',
]

const socketOf = (instance: string): string => `deploy/systemd/banyan@${instance}.socket`

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
  expect(service(unit, 'LimitCORE')).toBe('0')
  expect(unitOf(unit).get('Service')?.has('MemoryDenyWriteExecute')).toBe(false)
})

test.each(['blue', 'green'])('banyan@%s: its settings are taken, and it has time to drain', (instance) => {
  const [unit] = UNITS as [string]
  const values = unitOf(unit).get('Service')?.get('Environment') ?? []
  const env = Object.fromEntries(values.map((value) => value.split('=', 2)))
  const args = service(unit, 'ExecStart').split(' ').slice(3)
  const settings = readSettings(args, { ...env, ...environmentOf(`deploy/systemd/${instance}.env`), LISTEN_FDS: '1' })
  expect(durationMs(service(unit, 'TimeoutStopSec'))).toBeGreaterThan(settings.drainDelayMs + settings.drainTimeoutMs)
  expect(settings.table.startsWith(service(unit, 'ReadWritePaths'))).toBe(true)
  // A folder has one owner, and each instance makes changes.
  expect([settings.state, service(unit, 'StateDirectory')]).toEqual(['%S/banyan/%i', 'banyan/%i'])
  // A cluster, or `--allow-last-good`, starts without a valid file: that is up to `serve` alone, which says what is wrong with it.
  expect(unitOf(unit).get('Service')?.has('ExecStartPre')).toBe(false)
  const secrets = service(unit, 'EnvironmentFile').replace('%i', instance)
  expect(secrets.startsWith(service(unit, 'ReadWritePaths'))).toBe(false)
  expect(textOf('docs/guides/deploy.md')).toContain(
    `\ninstall --mode=0600 --no-target-directory deploy/systemd/${instance}.env ${secrets}\n`,
  )
  expect(settings.admin.host).toBe('127.0.0.1')
  expect(settings.trustedProxies).toEqual(['127.0.0.1', '::1'])
})

test.each(['blue', 'green'])(
  'banyan@%s: its public socket is systemd’s, and stays open while it restarts',
  (instance) => {
    const [unit] = UNITS as [string]
    expect(unitOf(unit).get('Service')?.get('Environment')).toContain('BANYAN_LISTEN=systemd')
    expect(environmentOf(`deploy/systemd/${instance}.env`).BANYAN_LISTEN).toBeUndefined()
    expect(unitOf(unit).get('Unit')?.get('Requires')).toEqual(['banyan@%i.socket'])
    const socket = unitOf(socketOf(instance)).get('Socket')
    // One socket: banyan takes one, and accepts its connections itself.
    expect(socket?.get('ListenStream')).toHaveLength(1)
    expect(socket?.get('Accept') ?? ['no']).toEqual(['no'])
    expect(service(unit, 'ExecReload')).toContain('-HUP $MAINPID')
  },
)

test('blue and green have ports of their own', () => {
  const ports = ['blue', 'green'].flatMap((name) => [
    ...(unitOf(socketOf(name)).get('Socket')?.get('ListenStream') ?? []),
    environmentOf(`deploy/systemd/${name}.env`).BANYAN_ADMIN,
  ])
  expect(new Set(ports.map((address) => address?.split(':').at(-1))).size).toBe(4)
})

test('systemd finds nothing to say of them, where there is one to ask', () => {
  const program = findProgram('systemd-analyze')
  if (program === null || !existsSync('/usr/bin/node')) return
  const folder = mkdtempSync(join(tmpdir(), 'banyan-units-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  // As instances: of a template alone it asks for a socket of a made-up name.
  for (const color of ['blue', 'green']) {
    writeFileSync(join(folder, `banyan@${color}.service`), textOf(UNITS[0] as string))
    writeFileSync(join(folder, `banyan@${color}.socket`), textOf(socketOf(color)))
  }
  writeFileSync(join(folder, 'gtin-service@4002.service'), textOf(UNITS[1] as string))
  for (const file of ['gtin-sync.service', 'gtin-sync.timer']) {
    writeFileSync(join(folder, file), textOf(`deploy/systemd/${file}`))
  }
  const units = readdirSync(folder).map((file) => join(folder, file))
  const { stdout, stderr, status } = spawnSync(program, ['verify', ...units], { encoding: 'utf8' })
  expect([status, stdout, stderr]).toEqual([0, '', ''])
})

test('gtin-service@PORT: its flags are taken, and it has time to drain', () => {
  const unit = UNITS[1] as string
  const args = service(unit, 'ExecStart').replaceAll('%i', '4002').replaceAll('%H', 'host').split(' ').slice(3)
  const asked = readCommandLine(args)
  const { port, name, data, drainDelayMs, drainTimeoutMs } = asked
  expect([port, name, data]).toEqual([4002, 'host-4002', '/var/lib/gtin'])
  expect(asked.staleAfterMs).toBeGreaterThan(0)
  expect(service(unit, 'StateDirectory')).toBe('gtin')
  expect(durationMs(service(unit, 'TimeoutStopSec'))).toBeGreaterThan(drainDelayMs + drainTimeoutMs)
})

test('gtin-sync: a timer runs it once a day into the folder that the services read', () => {
  const unit = UNITS[2] as string
  const args = service(unit, 'ExecStart')
    .replace(/\$\{GTIN_FROM\}/, 'http://catalog:4001')
    .split(' ')
    .slice(3)
  const asked = readSyncCommandLine(args)
  expect(asked).toMatchObject({ folder: '/var/lib/gtin', everyMs: null })
  expect([service(unit, 'Type'), service(unit, 'StateDirectory'), service(unit, 'User')]).toEqual([
    'oneshot',
    'gtin',
    'gtin',
  ])
  // Lookups on the same machine go first.
  expect(Number(service(unit, 'Nice'))).toBeGreaterThan(0)
  const timer = unitOf('deploy/systemd/gtin-sync.timer').get('Timer')
  expect(timer?.get('Persistent')).toEqual(['yes'])
  expect(timer?.get('OnCalendar')).toHaveLength(1)
})
