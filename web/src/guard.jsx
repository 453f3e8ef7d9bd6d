import { Component } from 'preact';

/** Shows what went wrong below it in place of an empty page, until `at` changes. */
export class Guard extends Component {
  state = { error: null };
  static getDerivedStateFromError(error) { return { error }; }
  componentDidUpdate(before) {
    if (before.at !== this.props.at && this.state.error) this.setState({ error: null });
  }
  render() {
    return this.state.error
      ? <p class="warning" role="alert">{String(this.state.error.message ?? this.state.error)}</p>
      : this.props.children;
  }
}
