/**
 * Flags and environment of `banyan serve`: one schema, read once, frozen. The only reader of process.env.
 */
import { isDeepStrictEqual, parseArgs } from 'node:util'
import { flagProblem } from '../cli/command.ts'
import type { ListenPlace } from '../proxy/client/listen-at.ts'
import { ACME_FLAGS, type AcmeSettings, acmeSettings } from './acme.ts'
import { ADMIN_FLAGS, type AdminSettings, adminSettings } from './admin.ts'
import { CACHE_FLAGS, type CacheSettings, cacheSettings } from './caching.ts'
import {
  CLIENT_FLAGS,
  type ClientSettings,
  clientSettings,
  handedOver,
  isShared,
  type Place,
  placeText,
} from './clients.ts'
import { type Environment, type Flag, SettingsError, type ValuesOf } from './flag.ts'
import { LOG_FLAGS, type LogSettings, logSettings } from './logging.ts'
import { TABLE_FLAGS, type TableSettings, tableSettings } from './table.ts'
import { TLS_FLAGS, type TlsSettings, tlsSettings } from './tls.ts'

export { type Address, placeText } from './clients.ts'
export { SettingsError } from './flag.ts'
export type { ClusterSettings } from './table.ts'

/** The settings of `banyan serve`. */
export interface Settings
  extends TableSettings,
    ClientSettings,
    TlsSettings,
    AcmeSettings,
    CacheSettings,
    AdminSettings,
    LogSettings {}

/** The flags by what they are about, in the order of the help. */
const GROUPS = {
  'Table and state': TABLE_FLAGS,
  Clients: CLIENT_FLAGS,
  TLS: TLS_FLAGS,
  'Certificates by ACME': ACME_FLAGS,
  Cache: CACHE_FLAGS,
  'Admin API': ADMIN_FLAGS,
  'Logs and traces': LOG_FLAGS,
} as const

const FLAGS = {
  ...TABLE_FLAGS,
  ...CLIENT_FLAGS,
  ...TLS_FLAGS,
  ...ACME_FLAGS,
  ...CACHE_FLAGS,
  ...ADMIN_FLAGS,
  ...LOG_FLAGS,
} as const

type FlagName = keyof typeof FLAGS

/** What is empty here was meant to be a secret, which something has failed to fill in. */
const SECRETS: ReadonlySet<string> = new Set<FlagName>([
  ...(['admin-token', 'admin-tokens', 'admin-token-file', 'force-secret', 'cookie-secret'] as const),
  ...(['cluster-secret', 'acme-eab-key', 'webhook-secret'] as const),
])
const EMPTY_SECRET = 'must not be empty; leave it out if there is none'

/**
 * Reads the settings; a flag wins over its environment variable (`--drain-delay`, `BANYAN_DRAIN_DELAY`).
 * @throws {SettingsError} on an unknown flag or an invalid value
 */
export function readSettings(args: readonly string[], env: Environment): Settings {
  const given = readFlags(args)
  const values = Object.fromEntries(
    Object.entries(FLAGS).map(([name, flag]) => [name, readFlag(name, flag, given[name], env)]),
  ) as ValuesOf<typeof FLAGS>
  for (const [name, { needs, read, fallback }] of Object.entries<Flag<unknown>>(FLAGS)) {
    if (needs === undefined || isSaid(values[needs as FlagName])) continue
    // What says the default may come from a template for all.
    if (!isDeepStrictEqual(values[name as FlagName], read(fallback)))
      throw new SettingsError(`${sourceOf(name, given[name])}: needs --${needs}`)
  }
  const isUnix = values.listen.path !== undefined || values.tls?.path !== undefined
  if (!isUnix && values['listen-mode'] !== FLAGS['listen-mode'].read(FLAGS['listen-mode'].fallback))
    throw new SettingsError(`${sourceOf('listen-mode', given['listen-mode'])}: needs --listen unix:PATH`)
  const settings: Settings = {
    ...tableSettings(values, values.redis),
    ...clientSettings(values),
    ...tlsSettings(values, values.acme),
    ...acmeSettings(values),
    ...cacheSettings(values),
    ...adminSettings(values),
    ...logSettings(values, env),
  }
  refuseSharedPlaces(settings)
  return Object.freeze({ ...settings, ...handedOver(settings.listen, settings.tls, env) })
}

/** @throws {SettingsError} where one address would be listened at twice */
function refuseSharedPlaces({ listen, tls, admin }: Settings): void {
  const places: [string, Place][] = [
    ['--listen', listen],
    ...(tls === null ? [] : [['--tls', tls] as [string, Place]]),
    ['--admin', admin],
  ]
  for (const [at, [flag, place]] of places.entries()) {
    const shared = places.slice(at + 1).find(([, other]) => isShared(place, other))
    if (shared === undefined) continue
    const [otherFlag, other] = shared
    throw new SettingsError(
      `${flag} ${placeText(place)} and ${otherFlag} ${placeText(other)}: each needs an address of its own`,
    )
  }
}

/** Whether a flag says something, by what was read of it. */
function isSaid(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== null && value !== false
}

/** @throws {SettingsError} for a value that is invalid; the message begins with where it was said */
function readFlag(name: string, flag: Flag<unknown>, given: string | undefined, env: Environment): unknown {
  const said = given ?? env[variableOf(name)]
  // A secret that comes from a file, as those of Kubernetes do, may end with a line break.
  const text = SECRETS.has(name) ? said?.trim() : said
  const source = sourceOf(name, given)
  if (text === '' && SECRETS.has(name)) throw new SettingsError(`${source}: ${EMPTY_SECRET}`)
  try {
    return flag.read(text ?? flag.fallback)
  } catch (error) {
    if (error instanceof SettingsError) throw new SettingsError(`${source}: ${error.message}`)
    throw error
  }
}

/** Where clients are accepted. */
export function placesOf({ listen, tls, listenMode }: Settings): readonly ListenPlace[] {
  const plain = { ...listen, mode: listenMode, tls: false }
  return tls === null ? [plain] : [plain, { ...tls, mode: listenMode, tls: true }]
}

/** The flags as `banyan serve --help` prints them. */
export function settingsHelp(): string {
  return Object.entries(GROUPS)
    .map(
      ([title, flags]) =>
        `${title}:\n${Object.entries(flags)
          .map(([name, flag]) => helpOf(name, flag))
          .join('\n')}`,
    )
    .join('\n\n')
}

function helpOf(name: string, { value, fallback, help }: Flag<unknown>): string {
  const left = `  --${name} ${value}`.trimEnd().padEnd(30)
  return `${left} ${help}${fallback === '' || value === '' ? '' : ` (${fallback})`}\n${' '.repeat(31)}${variableOf(name)}`
}

/** The flags with their values and help, for shell completion. */
export function settingsFlags(): Record<
  string,
  { readonly value: string; readonly fallback: string; readonly help: string }
> {
  return FLAGS
}

function readFlags(args: readonly string[]): Record<string, string | undefined> {
  const options = Object.fromEntries(
    Object.entries(FLAGS).map(([name, { value }]) => [
      name,
      { type: value === '' ? ('boolean' as const) : ('string' as const) },
    ]),
  )
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false })
    return Object.fromEntries(Object.entries(values).map(([name, given]) => [name, String(given)]))
  } catch (error) {
    const problem = flagProblem((error as Error).message, Object.keys(FLAGS))
    throw new SettingsError(`${problem} (see banyan serve --help)`)
  }
}

/** Where a setting was said. @param given by a flag */
function sourceOf(name: string, given: string | undefined): string {
  return given === undefined ? variableOf(name) : `--${name}`
}

function variableOf(name: string): string {
  return `BANYAN_${name.toUpperCase().replaceAll('-', '_')}`
}
