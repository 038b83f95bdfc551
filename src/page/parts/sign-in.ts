/**
 * Asks for the token. A form that a password manager knows; it is never sent anywhere but in a header.
 */
import { useState } from 'preact/hooks'
import { setToken } from '../api.ts'
import { html } from '../html.ts'
import { live } from '../live.ts'

/** As the API takes them: a header can't carry others. */
const TOKEN = '\\s*[\\x21-\\x7e]+\\s*'

export function SignIn() {
  const [token, put] = useState('')
  const submit = (event: Event): void => {
    event.preventDefault()
    setToken(token.trim())
    live.restart()
  }
  return html`
    <main class="sign-in">
      <form onSubmit=${submit}>
        <h1>banyan</h1>
        <p>This admin API needs a token. It is kept in this tab until the tab is closed.</p>
        <label class="stacked">Token <input type="password" name="token" autocomplete="current-password" required pattern=${TOKEN} title="ASCII characters without spaces" value=${token}
          onInput=${(event: Event) => put((event.target as HTMLInputElement).value)} autofocus /></label>
        <p role="alert" class="problem">${live.problem}</p>
        <footer><button class="primary">Sign in</button></footer>
      </form>
    </main>`
}
