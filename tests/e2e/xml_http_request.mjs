// What a page has and Node has not: XMLHttpRequest, as far as dicomweb-client uses it, on top of fetch.

export class XMLHttpRequest {
  #method;
  #url;
  #headers = new Headers();
  #answered = new Headers();
  readyState = 0;
  responseType = '';
  response = null;
  status = 0;

  open(method, url) {
    this.#method = method.toUpperCase();
    this.#url = url;
    this.readyState = 1;
  }

  setRequestHeader(name, value) {
    this.#headers.append(name, value);
  }

  getResponseHeader(name) {
    return this.#answered.get(name);
  }

  getAllResponseHeaders() {
    return [...this.#answered].map(([name, value]) => `${name}: ${value}\r\n`).join('');
  }

  async send(body) {
    this.onloadstart?.({});
    try {
      const answer = await fetch(this.#url, { method: this.#method, headers: this.#headers, body });
      this.status = answer.status;
      this.#answered = answer.headers;
      this.response = await this.#read(answer);
      this.onprogress?.({ loaded: this.response?.byteLength ?? 0 });
    } catch (error) {
      this.status = 0; // a page is not told more, the test is
      this.response = String(error.cause ?? error);
    }
    this.readyState = 4;
    this.onreadystatechange?.({});
    this.onloadend?.({});
  }

  async #read(answer) {
    if (this.responseType === 'arraybuffer') return answer.arrayBuffer();
    const text = await answer.text();
    if (this.responseType !== 'json') return text;
    return text ? JSON.parse(text) : null;
  }
}
