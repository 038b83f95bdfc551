/**
 * Settings for certificates by ACME.
 */
import { domainToASCII } from 'node:url'
import { type ChallengeKind, flawOfAcmeName } from '../rules/acme/names.ts'
import { type Flags, orNull, readList, SettingsError, type ValuesOf } from './flag.ts'

export interface AcmeSettings {
  /** Names to order certificates for. */
  readonly acme: readonly string[]
  /** The directory of the authority. */
  readonly acmeDirectory: string
  readonly acmeEmail: string | null
  /** External account binding: key id and HMAC key; null for none. */
  readonly acmeEab: { readonly kid: string; readonly key: string } | null
  readonly acmeChallenges: readonly ChallengeKind[]
  /** The folder of account and certificates; null for one in the state folder. */
  readonly acmeState: string | null
}

export const ACME_FLAGS = {
  acme: {
    value: 'LIST',
    fallback: '',
    help: 'names to order certificates for by ACME, for --tls (docs/guides/tls.md); you agree to the terms of the authority',
    read: readAcmeNames,
    needs: 'tls',
  },
  'acme-email': {
    value: 'ADDRESS',
    fallback: '',
    help: 'contact of the ACME account',
    read: readEmail,
    needs: 'acme',
  },
  'acme-directory': {
    value: 'URL',
    fallback: 'https://acme-v02.api.letsencrypt.org/directory',
    help: 'directory of the authority',
    read: readDirectory,
    needs: 'acme',
  },
  'acme-eab-kid': {
    value: 'ID',
    fallback: '',
    help: 'key id of the external account binding, for authorities that require one',
    read: orNull,
    needs: 'acme',
  },
  'acme-eab-key': {
    value: 'KEY',
    fallback: '',
    help: 'its HMAC key in Base64url; prefer the environment variable',
    read: orNull,
    needs: 'acme',
  },
  'acme-challenge': {
    value: 'LIST',
    fallback: 'tls-alpn-01,http-01',
    help: 'challenge types, by preference',
    read: readChallenges,
    needs: 'acme',
  },
  'acme-state': {
    value: 'DIR',
    fallback: '',
    help: 'folder for the account, keys and certificates (acme/ in the state folder)',
    read: orNull,
    needs: 'acme',
  },
} as const satisfies Flags

/** @throws {SettingsError} for flags that need others */
export function acmeSettings(values: ValuesOf<typeof ACME_FLAGS>): AcmeSettings {
  return {
    acme: values.acme,
    acmeDirectory: values['acme-directory'],
    acmeEmail: values['acme-email'],
    acmeEab: eabOf(values['acme-eab-kid'], values['acme-eab-key']),
    acmeChallenges: values['acme-challenge'],
    acmeState: values['acme-state'],
  }
}

/** With each challenge, all certificates are sent to each worker: more of them would delay requests there. */
const MAX_ACME_NAMES = 100

function readAcmeNames(text: string): readonly string[] {
  const names = readList(text).map((name) => domainToASCII(name.replace(/\.$/, '')) || name)
  for (const name of names) {
    const flaw = flawOfAcmeName(name)
    if (flaw !== null) throw new SettingsError(flaw)
  }
  if (names.length > MAX_ACME_NAMES)
    throw new SettingsError(`${names.length} names: at most ${MAX_ACME_NAMES} are possible`)
  return [...new Set(names)]
}

function readEmail(text: string): string | null {
  // It becomes a mailto: URL.
  if (text !== '' && !/^[^\s@?,:<>"]+@[^\s@?,:<>"]+$/.test(text))
    throw new SettingsError(`invalid address '${text}' (such as ops@example.com)`)
  return orNull(text)
}

function readDirectory(text: string): string {
  const url = URL.parse(text)
  const isLocal =
    url !== null && url.protocol === 'http:' && /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)
  if (url?.protocol !== 'https:' && !isLocal) {
    throw new SettingsError(
      `invalid URL '${text}': must be https (such as https://acme-staging-v02.api.letsencrypt.org/directory)`,
    )
  }
  return text
}

function readChallenges(text: string): readonly ChallengeKind[] {
  const kinds = readList(text)
  const known: readonly string[] = ['http-01', 'tls-alpn-01']
  if (kinds.length === 0 || !kinds.every((kind) => known.includes(kind))) {
    throw new SettingsError(`invalid list '${text}': must be tls-alpn-01, http-01 or both`)
  }
  return [...new Set(kinds)] as ChallengeKind[]
}

/** @throws {SettingsError} for one without the other */
function eabOf(kid: string | null, key: string | null): AcmeSettings['acmeEab'] {
  if (kid === null && key === null) return null
  if (kid === null) throw new SettingsError('--acme-eab-key: needs --acme-eab-kid')
  if (key === null) throw new SettingsError('--acme-eab-kid: needs --acme-eab-key')
  // The message omits the text, which is secret.
  if (!/^[A-Za-z0-9_+/-]{16,}={0,2}$/.test(key)) throw new SettingsError('--acme-eab-key: must be Base64url')
  return { kid, key }
}
