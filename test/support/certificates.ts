/**
 * Certificates for tests, made on the spot: signed by their own key, so that each is its own authority, or by an authority of the test.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A certificate and its key, in PEM. */
export interface Made {
  readonly cert: string
  readonly key: string
}

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** RSA with 2048 bits. */
export const RSA = ['-newkey', 'rsa:2048', '-nodes']

/** Runs openssl in a folder of its own, which is removed. */
function inFolder<T>(work: (folder: string, openssl: (...args: string[]) => void) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-cert-'))
  try {
    return work(folder, (...args) => void execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' }))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function read(folder: string): Made {
  return { cert: readFileSync(join(folder, 'cert'), 'utf8'), key: readFileSync(join(folder, 'key'), 'utf8') }
}

/** @param altNames as openssl takes them: `DNS:up.test,IP:127.0.0.1`; null for a certificate without any */
export function selfSigned(commonName: string, altNames: string | null, kind: readonly string[] = EC): Made {
  return inFolder((folder, openssl) => {
    const names = altNames === null ? [] : ['-addext', `subjectAltName=${altNames}`]
    const made = ['-x509', ...kind, '-days', '2']
    openssl('req', ...made, '-keyout', 'key', '-out', 'cert', '-subj', `/CN=${commonName}`, ...names)
    return read(folder)
  })
}

/** One by its own key that may sign no other. */
export function selfSignedOnly(commonName: string): Made {
  return inFolder((folder, openssl) => {
    const made = ['-x509', ...EC, '-days', '2', '-addext', 'basicConstraints=critical,CA:FALSE']
    openssl('req', ...made, '-keyout', 'key', '-out', 'cert', '-subj', `/CN=${commonName}`)
    return read(folder)
  })
}

/** An authority in the first version of X.509, which does not say that it is one. */
export function firstVersion(commonName: string): Made {
  return inFolder((folder, openssl) => {
    openssl('req', '-new', ...EC, '-keyout', 'key', '-out', 'request', '-subj', `/CN=${commonName}`)
    openssl('x509', '-req', '-in', 'request', '-signkey', 'key', '-days', '2', '-out', 'cert')
    return read(folder)
  })
}

/** One that has ended years ago. */
export function expired(commonName: string, altNames: string): Made {
  return inFolder((folder, openssl) => {
    const settings =
      'database=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\ncopy_extensions=copy'
    writeFileSync(join(folder, 'config'), `[ca]\ndefault_ca=own\n[own]\n${settings}\n[any]\ncommonName=supplied\n`)
    writeFileSync(join(folder, 'index'), '')
    writeFileSync(join(folder, 'serial'), '01\n')
    const subject = ['-subj', `/CN=${commonName}`, '-addext', `subjectAltName=${altNames}`]
    openssl('req', '-new', ...EC, '-keyout', 'key', '-out', 'request', ...subject)
    const times = ['-startdate', '20200101000000Z', '-enddate', '20200201000000Z']
    const made = ['-batch', '-notext', '-config', 'config', '-selfsign', '-keyfile', 'key', ...times]
    openssl('ca', ...made, '-in', 'request', '-out', 'cert')
    return read(folder)
  })
}

/** Signs certificates for clients. */
export interface Authority {
  /** Its own certificate, in PEM. */
  readonly cert: string
  /** @param subject as openssl takes it: `/O=Example/CN=alice` @param ca an authority below this one */
  sign(subject: string, ca?: boolean): Made
}

export function authority(commonName: string): Authority {
  const own = selfSigned(commonName, null)
  return {
    cert: own.cert,
    sign: (subject, ca = false) =>
      inFolder((folder, openssl) => {
        writeFileSync(join(folder, 'ca.cert'), own.cert)
        writeFileSync(join(folder, 'ca.key'), own.key)
        openssl('req', '-utf8', '-new', ...EC, '-keyout', 'key', '-out', 'request', '-subj', subject)
        const by = ['-CA', 'ca.cert', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2']
        writeFileSync(join(folder, 'extensions'), `basicConstraints=critical,CA:${ca ? 'TRUE' : 'FALSE'}\n`)
        openssl('x509', '-req', '-in', 'request', ...by, '-out', 'cert', '-extfile', 'extensions')
        return read(folder)
      }),
  }
}

/** Flags of a banyan that speaks TLS, with a certificate that is removed afterwards. */
export function tlsFlags(): { readonly flags: readonly string[]; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-cert-'))
  const path = join(folder, 'both.pem')
  const { cert, key } = selfSigned('localhost', 'DNS:localhost')
  writeFileSync(path, cert + key)
  return { flags: ['--tls', '127.0.0.1:0', '--tls-cert', path], remove: () => rmSync(folder, { recursive: true }) }
}

/** For a name, with a life of the test's choice: as one that is due for renewal, or over. */
export function agedPair(name: string, fromMs: number, untilMs: number): Made {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-cert-'))
  const file = (one: string): string => join(folder, one)
  const dateOf = (ms: number): string => `${new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+Z/g, '')}Z`
  const config = `[ca]\ndefault_ca=own\n[own]\ndatabase=${file('index')}\nserial=${file('serial')}\nnew_certs_dir=${folder}\n`
  writeFileSync(
    file('config'),
    `${config}policy=any\ndefault_md=sha256\n[any]\ncommonName=supplied\n[v3]\nsubjectAltName=DNS:${name}\n`,
  )
  writeFileSync(file('index'), '')
  writeFileSync(file('serial'), '01\n')
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'ignore' })
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file('key')]
  openssl('req', '-new', ...made, '-out', file('csr'), '-subj', `/CN=${name}`)
  const life = ['-startdate', dateOf(fromMs), '-enddate', dateOf(untilMs)]
  const signed = ['-selfsign', '-keyfile', file('key'), '-in', file('csr'), '-out', file('cert'), ...life]
  openssl('ca', '-batch', '-config', file('config'), '-extensions', 'v3', '-notext', ...signed)
  const read = { cert: readFileSync(file('cert'), 'utf8'), key: readFileSync(file('key'), 'utf8') }
  rmSync(folder, { recursive: true })
  return read
}
