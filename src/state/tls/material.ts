/**
 * TLS material for connections to https servers: the PEM texts of a table, read once and shared.
 */
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { TlsSettings } from '../../rules/table/table.ts'
import type { Flaw } from '../../rules/values/units.ts'

/** PEM texts of CA certificates, or of a client certificate and its key. */
export interface TlsPart {
  readonly pems: readonly string[]
  readonly digest: string
}

/** By `keysOf` of the settings. Plain data, sent to other processes as JSON. */
export type TlsMaterial = Readonly<Record<string, TlsPart>>

/** Without files. */
export const NO_MATERIAL: TlsMaterial = Object.freeze({})

/** The keys of settings in a material; null if not set. */
export function keysOf({ ca, cert, key }: TlsSettings): { readonly ca: string | null; readonly pair: string | null } {
  return {
    ca: ca === null ? null : `ca ${ca}`,
    pair: cert === null || key === null ? null : `pair ${JSON.stringify([cert, key])}`,
  }
}

/** A part with these texts. */
export function partOf(pems: readonly string[]): TlsPart {
  const hash = createHash('sha256')
  for (const pem of pems) hash.update(`${pem.length}:`).update(pem)
  return { pems, digest: hash.digest('base64') }
}

/** Digest that distinguishes connections with the same settings before and after a change of the files. */
export function digestOf(settings: TlsSettings, material: TlsMaterial): string {
  const { ca, pair } = keysOf(settings)
  return [ca, pair].map((key) => (key === null ? '' : (material[key]?.digest ?? ''))).join()
}

/** Cached, since creating a context parses all its certificates. */
const contexts = new WeakMap<TlsMaterial, Map<string, SecureContext>>()

/**
 * The TLS context for settings.
 * @throws {Error} if the texts are invalid for node:tls, or not in the material
 */
export function contextOf(settings: TlsSettings, material: TlsMaterial): SecureContext {
  const known = contexts.get(material) ?? new Map<string, SecureContext>()
  contexts.set(material, known)
  const { ca, pair } = keysOf(settings)
  const { minVersion, maxVersion, ciphers } = settings
  const name = [ca, pair, minVersion, maxVersion, ciphers].map((part) => part ?? '').join('\0')
  const context = known.get(name) ?? makeContext(settings, pemsOf(ca, material), pemsOf(pair, material))
  known.set(name, context)
  return context
}

function pemsOf(key: string | null, material: TlsMaterial): readonly string[] {
  if (key === null) return []
  const part = material[key]
  if (part === undefined) throw new Error(`${key} was not read`)
  return part.pems
}

function makeContext(
  { minVersion, maxVersion, ciphers }: TlsSettings,
  [ca]: readonly string[],
  [cert, key]: readonly string[],
): SecureContext {
  return createSecureContext({
    ...(minVersion === null ? {} : { minVersion }),
    ...(maxVersion === null ? {} : { maxVersion }),
    ...(ciphers === null ? {} : { ciphers }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  })
}

const CERTIFICATE = /^(?:X509 |TRUSTED )?CERTIFICATE$/
const PRIVATE_KEY = /PRIVATE KEY$/

const CUT: Flaw = { message: 'contains an incomplete PEM block', hint: 'is it still being written?' }

interface Block {
  readonly label: string
  readonly text: string
}

/** Why two texts are not a certificate and its key, and which of them is wrong; or null. */
export function flawOfPair(cert: string, key: string): (Flaw & { readonly at: 'cert' | 'key' }) | null {
  const flaw = flawOfCertificates(cert)
  if (flaw !== null) return { ...flaw, at: 'cert' }
  const flawOfText = flawOfKey(key)
  if (flawOfText !== null) return { ...flawOfText, at: 'key' }
  const privateKey = privateKeyIn(key)
  const at = certificatesIn(cert).findIndex((certificate) => certificate.checkPrivateKey(privateKey))
  if (at === -1) return { message: 'the private key does not match the certificate', at: 'key' }
  return at === 0 ? null : { ...misplaced(at), at: 'cert' }
}

/** The flaw of a file in which the certificate for the key is not the first one. */
export function misplaced(index: number): Flaw {
  return {
    message: `the certificate of its key is number ${index + 1} in the file`,
    hint: 'it comes first, then those that it is signed by',
  }
}

/** The certificates in a text that has no flaw. */
export function certificatesIn(pem: string): X509Certificate[] {
  return blocksOf(pem)
    .blocks.filter(isCertificate)
    .map(({ text }) => new X509Certificate(text))
}

/** Why a text is not a list of certificates, or null. node:tls itself ignores what it can't parse. */
export function flawOfCertificates(pem: string): Flaw | null {
  const { blocks, cut } = blocksOf(pem)
  const certificates = blocks.filter(isCertificate)
  if (cut) return CUT
  if (certificates.length === 0) return { message: `contains no certificate: ${wordsFor(pem, blocks)}` }
  const bad = certificates.findIndex(({ text }) => !isReadable(() => new X509Certificate(text)))
  if (bad === -1) return null
  return { message: `contains an invalid certificate${certificates.length === 1 ? '' : ` (number ${bad + 1})`}` }
}

/**
 * Why a text is not a list of authorities that can verify anybody, or null. OpenSSL, as node:tls sets it up, trusts a chain only if it ends
 * in a self-signed certificate of the list: an intermediate or leaf certificate verifies nobody.
 */
export function flawOfAuthorities(pem: string): Flaw | null {
  const flaw = flawOfCertificates(pem)
  if (flaw !== null) return flaw
  const certificates = certificatesIn(pem)
  if (certificates.some(isRoot)) return null
  const issuer = certificates.at(-1)?.issuer.replaceAll('\n', ', ') ?? ''
  return {
    message: 'contains no root certificate (signed by its own key): nobody can be verified',
    hint: `add that of its authority: ${issuer}`,
  }
}

/** Whether a valid list verifies only the certificates in it, because none of them may sign others. */
export function verifiesOnlyItself(pem: string): boolean {
  return certificatesIn(pem).every((certificate) => !isRoot(certificate) || !isAuthority(certificate))
}

function isRoot({ subject, issuer }: X509Certificate): boolean {
  return subject === issuer
}

/** Whether a certificate is an authority. X.509 version 1 has no field for it: there, any self-signed certificate is one. */
function isAuthority({ ca, raw }: X509Certificate): boolean {
  return ca || !raw.subarray(0, VERSION_WITHIN).includes(LATER_VERSION)
}

/** The field `version` (RFC 5280 section 4.1), absent in version 1. It follows two DER headers. */
const LATER_VERSION = Buffer.from([0xa0, 0x03, 0x02, 0x01])
const VERSION_WITHIN = 16

/** The private key in a text that has no flaw. */
export function privateKeyIn(pem: string): KeyObject {
  return createPrivateKey(blocksOf(pem).blocks.find(isPrivateKey)?.text ?? '')
}

/** Why a text is not a private key that can be used, or null. */
export function flawOfKey(pem: string): Flaw | null {
  const { blocks, cut } = blocksOf(pem)
  const found = blocks.find(isPrivateKey)
  if (cut) return CUT
  if (found === undefined) return { message: `contains no private key: ${wordsFor(pem, blocks)}` }
  if (found.label.startsWith('ENCRYPTED') || /^Proc-Type:.*ENCRYPTED/m.test(found.text)) {
    return {
      message: 'the private key is encrypted with a passphrase',
      hint: 'remove it with openssl pkey -in KEY -out KEY',
    }
  }
  return isReadable(() => createPrivateKey(found.text)) ? null : { message: 'contains an invalid private key' }
}

/**
 * The PEM blocks (RFC 7468) of a text, in one pass. OpenSSL ignores everything between them.
 * @returns `cut` if a block has no end
 */
function blocksOf(pem: string): { readonly blocks: readonly Block[]; readonly cut: boolean } {
  const blocks: Block[] = []
  let label: string | null = null
  let lines: string[] = []
  for (const line of pem.split('\n')) {
    const [, word, named = ''] = /^-----(BEGIN|END) ([A-Z0-9 ]+)-----\s*$/.exec(line) ?? []
    if (word === 'BEGIN') {
      if (label !== null) return { blocks, cut: true }
      label = named
      lines = []
    }
    if (label === null) continue
    lines.push(line.trimEnd())
    if (word !== 'END') continue
    if (label !== named) return { blocks, cut: true }
    blocks.push({ label, text: `${lines.join('\n')}\n` })
    label = null
  }
  return { blocks, cut: label !== null }
}

const isCertificate = ({ label }: Block): boolean => CERTIFICATE.test(label)
const isPrivateKey = ({ label }: Block): boolean => PRIVATE_KEY.test(label)

/** Describes what a text is instead. */
function wordsFor(pem: string, blocks: readonly Block[]): string {
  if (pem.trim() === '') return 'it is empty'
  const [first] = blocks
  if (first !== undefined) return `it contains a ${first.label.toLowerCase()}`
  // DER begins with a SEQUENCE whose length has two bytes.
  return pem.startsWith('0\x82') ? 'it is DER, not PEM' : 'it is not PEM'
}

function isReadable(read: () => unknown): boolean {
  try {
    read()
    return true
  } catch {
    return false
  }
}
